"""Translation: which events a rule takes, and why an event makes no chain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.translating import (
    GONE,
    MOVE,
    ONE,
    SECONDS,
    chain_of,
    changed,
    event,
    new_translator,
)
from worker.core.chain import Chain
from worker.core.event import Dead, Event, Reason, Skipped
from worker.core.translate import ITEMS_MAX, Translator


@pytest.fixture(scope="module")
def translator() -> Translator:
    """One translator for the module: translation keeps nothing but caches."""
    return new_translator()


REFUSED: list[tuple[str, object, str, str]] = [
    # type        content                                        reason                    says
    ("pay.one", changed(ONE, amount=GONE), "missing_field", "one.gross amount: data.object.amount"),
    ("pay.one", changed(ONE, amount=None), "missing_field", "data.object.amount is null"),
    ("pay.one", changed(ONE, amount=-1), "bad_amount", "is negative"),
    ("pay.one", changed(ONE, amount=1.5), "bad_amount", "is not a whole number"),
    ("pay.one", changed(ONE, amount=5.0), "bad_amount", "is not a whole number"),
    ("pay.one", changed(ONE, amount=True), "bad_amount", "is not a whole number"),
    ("pay.one", changed(ONE, amount="250"), "bad_amount", "is not a whole number"),
    ("pay.one", changed(ONE, amount=[1]), "bad_amount", "is not a whole number"),
    ("pay.one", changed(ONE, amount=2**63), "bad_amount", "above 2^63-1"),
    ("pay.one", changed(ONE, amount=2**128), "bad_amount", "above 2^63-1"),
    ("pay.move", changed(MOVE, fee=-(2**63)), "bad_amount", "above 2^63-1"),
    ("pay.one", changed(ONE, currency="USD"), "unknown_currency", "one currency: data.object.cur"),
    ("pay.one", changed(ONE, currency="xau"), "unknown_currency", "is no currency"),
    ("pay.one", changed(ONE, currency=840), "unknown_currency", "is no currency"),
    ("pay.one", changed(ONE, currency=["usd"]), "unknown_currency", "is no currency"),
    ("pay.one", changed(ONE, currency=None), "missing_field", "is null"),
    ("pay.one", changed(ONE, currency=GONE), "missing_field", "is missing"),
    ("pay.one", changed(ONE, customer=""), "bad_key",
     "one.gross wallet: data.object.customer is e"),
    ("pay.one", changed(ONE, customer=7), "bad_key", "is not a string"),
    ("pay.one", changed(ONE, customer=True), "bad_key", "is not a string"),
    ("pay.one", changed(ONE, customer={"id": "c"}), "bad_key", "is not a string"),
    ("pay.one", changed(ONE, customer="a\0b"), "bad_key", "holds NUL"),
    ("pay.one", changed(ONE, customer="\ud800"), "bad_key", "holds a lone surrogate"),
    ("pay.one", changed(ONE, customer=None), "missing_field", "is null"),
    ("pay.one", changed(ONE, customer=GONE), "missing_field", "is missing"),
    ("pay.one", changed(ONE, id=""), "bad_key", "one idempotency_key: data.object.id is empty"),
    ("pay.one", changed(ONE, id="a\0"), "bad_key", "holds NUL"),
    ("pay.one", changed(ONE, id="\udfff"), "bad_key", "holds a lone surrogate"),
    ("pay.one", changed(ONE, id=True), "bad_key", "is not a string"),
    ("pay.one", changed(ONE, id=1.0), "bad_key", "is not a string"),
    ("pay.one", changed(ONE, id=2**63), "bad_key", "outside 64 bits"),
    ("pay.one", changed(ONE, id=10**5000), "bad_key", "outside 64 bits"),
    ("pay.one", changed(ONE, id=None), "missing_field", "is null"),
    ("pay.one", changed(ONE, created=-1), "bad_time", "one idempotency_time"),
    ("pay.one", changed(ONE, created=253402300800), "bad_time", "is not a second"),
    ("pay.one", changed(ONE, created=1.5), "bad_time", "is not a second"),
    ("pay.one", changed(ONE, created=True), "bad_time", "is not a second"),
    ("pay.one", changed(ONE, created="5"), "bad_time", "is not a second"),
    ("pay.one", changed(ONE, created=None), "missing_field", "is null"),
    ("pay.one", changed(ONE, test=GONE), "missing_field", "one when: data.object.test is missing"),
    ("pay.one", changed(ONE, test=0), "missing_field", "neither true nor false"),
    ("pay.one", None, "missing_field", "data.object.test is missing"),
    ("pay.one", [], "missing_field", "data.object.test is missing"),
    ("pay.move", changed(MOVE, to="c1"), "same_account", "move.moved debits and credits one"),
    ("pay.grid", {"rows": 5}, "missing_field",
     "grid.cell for_each: data.object.rows is not a list"),
    ("pay.grid", {"rows": {}}, "missing_field", "is not a list"),
    ("pay.grid", {"rows": [{"cells": None}]}, "missing_field", "row.cells is not a list"),
    ("pay.grid", {"rows": [3]}, "missing_field", "row.cells is missing"),
    ("pay.grid", {"rows": [{"cells": [{}] * ITEMS_MAX}]}, "too_many_legs", "more than 16384"),
    ("pay.other", {}, "no_rule", "no transaction answers this type"),
]  # fmt: skip


@pytest.mark.parametrize(("event_type", "content", "reason", "says"), REFUSED)
def test_bad_event_is_dead(
    translator: Translator, event_type: str, content: object, reason: str, says: str
) -> None:
    """What a rule cannot use is a dead letter with its reason and its place in the rulebook."""
    found = translator.translate(event(event_type, content), role="other")
    assert isinstance(found, Dead), found
    assert (found.reason, says in found.detail) == (reason, True), found


def test_event_without_data_is_dead(translator: Translator) -> None:
    """A body that is not what the decoder gives is refused, not trusted."""
    for body in ({}, {"data": None}, {"data": "x"}):
        found = translator.translate(Event("e", "pay.one", SECONDS, body), role="other")
        assert isinstance(found, Dead)
        assert found.reason is Reason.MISSING_FIELD


def test_event_id_with_a_surrogate_is_dead(translator: Translator) -> None:
    """An event id that UTF-8 cannot write has no identity."""
    whole = event("pay.move", MOVE)
    asked = Event("\ud800", whole.type, whole.created, whole.body)
    found = translator.translate(asked, role="other")
    assert isinstance(found, Dead)
    assert found.reason is Reason.BAD_KEY


def test_created_out_of_range_is_dead(translator: Translator) -> None:
    """An event's own time is checked where it becomes part of an id."""
    for created in (-1, 253_402_300_800):
        found = translator.translate(event("pay.move", MOVE, created=created), role="other")
        assert isinstance(found, Dead)
        assert found.reason is Reason.BAD_TIME


def test_first_match_then_ignore_then_no_rule(translator: Translator) -> None:
    """The first transaction in force that matches wins, then `ignore`, then nothing is left."""
    at_2019 = event("pay.one", {}, created=1_560_000_000)
    assert chain_of(translator, at_2019).transaction == "old"
    at_end = event("pay.one", ONE, created=1_577_836_800)
    assert chain_of(translator, at_end).transaction == "one"
    tested = event("pay.one", changed(ONE, test=True))
    assert translator.translate(tested, role="other") == Skipped("ignored")
    assert translator.translate(event("pay.notice", {}), role="other") == Skipped("ignored")


TOPICS = [
    # role       type         outcome
    ("payments", "pay.notice", "ignored"),
    ("payments", "pay.secret", "wrong_topic"),
    ("payments", "other.type", "wrong_topic"),
    ("slow", "other.type", "no_rule"),
    ("unlisted", "pay.notice", "ignored"),
]


@pytest.mark.parametrize(("role", "event_type", "outcome"), TOPICS)
def test_topic_carries_only_its_types(
    translator: Translator, role: str, event_type: str, outcome: str
) -> None:
    """A role that is listed carries what is listed; one that is not carries anything."""
    found = translator.translate(event(event_type, {}), role=role)
    said = found.reason if isinstance(found, Dead) else getattr(found, "outcome", "")
    assert said == outcome


BOTH = {"account": "acct_1", "context": "acct_0/acct_1"}
MODES = [
    # livemode  account   event                                  dead
    (None, "*", {"livemode": False, "account": "acct_2"}, False),
    (None, "*", {"context": "acct_2"}, False),
    (True, "", {"livemode": True}, False),
    (True, "", {"livemode": False}, True),
    (True, "", {"livemode": 1}, True),
    (True, "", {}, False),
    (False, "", {"livemode": True}, True),
    (True, "*", {"livemode": False, "account": "acct_1"}, True),
    (None, "", {"account": "acct_1"}, True),
    (None, "", {"context": "acct_1"}, True),
    (None, "", {"context": "org_1/acct_1"}, True),
    (None, "", {"account": ["acct_1"]}, True),
    (None, "", {"account": None, "context": None}, False),
    (None, "", {"account": "", "context": ""}, False),
    (None, "acct_1", {"account": "acct_1"}, False),
    (None, "acct_1", {"account": "acct_2"}, True),
    (None, "acct_1", {"account": ["acct_1"]}, True),
    (None, "acct_1", {"account": None}, False),
    (None, "acct_1", {"context": "acct_1"}, False),
    (None, "acct_1", {"context": "acct_0/acct_1"}, False),
    (None, "acct_1", {"context": "acct_2"}, True),
    (None, "acct_1", {"context": "acct_1/acct_2"}, True),
    (None, "acct_1", {"context": ["acct_1"]}, True),
    (None, "acct_1", BOTH, False),
    (None, "acct_1", {**BOTH, "context": "acct_0/acct_2"}, True),
    (True, "acct_1", {"livemode": True, "account": "acct_2"}, True),
]


@pytest.mark.parametrize(("livemode", "account", "envelope", "dead"), MODES)
def test_wrong_mode(
    translator: Translator,
    livemode: bool | None,  # noqa: FBT001 - a column of the table
    account: str,
    envelope: dict[str, Any],
    dead: bool,  # noqa: FBT001 - the same
) -> None:
    """An event that says another mode or account never enters the books."""
    asked = event("pay.notice", {}, **envelope)
    book = translator.rulebook
    found = Translator(book, livemode=livemode, account=account).translate(asked, role="other")
    assert (isinstance(found, Dead) and found.reason is Reason.WRONG_MODE) is dead


BAD_REFERENCES = [
    # changes                reason
    ({"event": ""}, "bad_key"),
    ({"event": None}, "missing_field"),
    ({"fact": "\ud800"}, "bad_key"),
    ({"then": -1}, "bad_time"),
    ({"then": "x"}, "bad_time"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD_REFERENCES)
def test_bad_reference_is_dead(
    translator: Translator, changes: dict[str, object], reason: str
) -> None:
    """A post that cannot name its reservation is a dead letter."""
    content = {"parts": [{}], "event": "e", "fact": "f", "then": SECONDS, "amount": 4}
    found = translator.translate(event("pay.capture", {**content, **changes}), role="other")
    assert isinstance(found, Dead)
    assert found.reason == reason


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**130)
    | st.floats(allow_nan=True)
    | st.text(st.characters(), max_size=4)
    | st.sampled_from(["usd", "c1", "charge"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*ONE, *MOVE, "rows", "cells", "parts", "fact", "then", "event"]),
            inner,
            max_size=8,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["one", "move", "grid", "take", "give", "hold", "fact_hold", "capture"]),
    json_values,
    st.integers(0, 7),
)
def test_translation_is_total(
    translator: Translator, kind: str, content: object, attempt: int
) -> None:
    """Whatever an event holds, the answer is a value; a chain's money is positive and two-sided."""
    found = translator.translate(event(f"pay.{kind}", content), role="other", attempt=attempt)
    assert isinstance(found, Chain | Skipped | Dead)
    if isinstance(found, Chain):
        assert len({leg.id for leg in found.legs}) == len(found.legs)
        for leg in found.legs:
            if leg.debit and leg.credit:
                assert 0 < leg.amount < 2**63
                assert leg.debit.id != leg.credit.id
                assert leg.debit.ledger == leg.credit.ledger == leg.currency.ledger
