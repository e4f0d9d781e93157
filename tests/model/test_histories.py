"""No small history breaks the promises, and every broken rule is found out."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.model.histories import search
from tests.model.states import ModelRecord, ModelRules, Scope
from worker.core.outcome import ExistingChain, existing_verdict

FAULTS = int(os.environ.get("MODEL_FAULTS", "1"))

A, B = ModelRecord(0), ModelRecord(1)
REFUSED = ModelRecord(0, refused=True)
NEEDS_A = ModelRecord(1, needs=0)

SCOPES = {
    "redelivered in its partition and in another": Scope(((A, A), (A,)), faults_max=FAULTS),
    "two events": Scope(((A, B), ()), faults_max=FAULTS),
    "refused, and redelivered": Scope(((REFUSED, REFUSED), (REFUSED,)), faults_max=FAULTS),
    "waits for what comes later": Scope(((NEEDS_A,), (A,)), faults_max=FAULTS),
    "two groups": Scope(((A, A), ()), groups=(0, 1), faults_max=FAULTS),
    "offsets set back": Scope(((A, A), ()), faults_max=FAULTS, reset=True),
}


@pytest.mark.parametrize("name", SCOPES)
def test_no_history_breaks_a_promise(name: str) -> None:
    """Announced exactly once, refusals told, nothing forgotten, whatever goes wrong and when."""
    states, wrong = search(SCOPES[name], ModelRules())
    assert not wrong
    assert states > 100


def never(**_: Any) -> ExistingChain:
    return ExistingChain.COUNT


def always(**_: Any) -> ExistingChain:
    return ExistingChain.ANNOUNCE


def any_position(**given: Any) -> ExistingChain:
    return existing_verdict(**given | {"position": given["stored_position"]})


def any_time(**given: Any) -> ExistingChain:
    return existing_verdict(**given | {"since": -1})


def forgetful(**given: Any) -> ExistingChain:
    return existing_verdict(**given | {"earlier": None})


def no_redo(**_: Any) -> bool:
    return False


MUTANTS = {
    "announce never": (ModelRules(existing=never), "redelivered in its partition and in another"),
    "announce always": (ModelRules(existing=always), "redelivered in its partition and in another"),
    "ignore the position": (
        ModelRules(existing=any_position),
        "redelivered in its partition and in another",
    ),
    "ignore the group": (
        ModelRules(position=lambda _, partition, offset: partition << 8 | offset),
        "two groups",
    ),
    "ignore since": (ModelRules(existing=any_time), "offsets set back"),
    "ignore until and redo": (ModelRules(rejected_before=no_redo), "refused, and redelivered"),
    "forget where a parked record was": (
        ModelRules(existing=forgetful),
        "waits for what comes later",
    ),
    "go on from memory after a lost answer": (ModelRules(asks_group=False), "two events"),
    "keep work over a reassignment": (
        ModelRules(keeps_work=True),
        "redelivered in its partition and in another",
    ),
}
"""Broken rules, and the histories that show each."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_found(name: str) -> None:
    """The search is worth something: with any one rule broken, some history shows it."""
    rules, scope = MUTANTS[name]
    assert search(SCOPES[scope], rules)[1]
