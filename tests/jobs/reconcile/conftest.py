"""A day of thousands of records, reconciled clean and spoiled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.jobs.reconcile.stripe import Row, payouts, report_rows, rest_of_stories, source_of
from tests.jobs.reports.played import Played, play
from worker.jobs.generate.scene import Generated
from worker.jobs.generate.traffic import generate
from worker.rulebooks.load import load

read_once = cache(load)
SEED = 11
EVENTS = int(os.environ.get("RECONCILE_EVENTS", "700"))


UNBOOKED = {
    refund["id"]
    for one in generate(EVENTS, SEED)
    if one.note.endswith("refund of an old version") and isinstance(one.event, dict)
    for refund in one.event["data"]["object"]["refunds"]["data"]
}
"""Refunds that the packaged rulebook does not book: only charge.refunded tells them."""


def _kept(one: Generated) -> bool:
    """What Stripe's report below tells of, and the rulebook books."""
    about = one.event.get("data", {}).get("object", {}) if isinstance(one.event, dict) else {}
    return "payout" not in one.note and source_of(about) not in UNBOOKED


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Its payouts are those of Stripe's report; commands may open the ledger's file."""

    def ended(day: Played) -> Iterator[Generated]:
        yield from rest_of_stories(day, EVENTS, SEED)
        yield from payouts(day)

    played = play(
        EVENTS,
        seed=SEED,
        folder=tmp_path_factory.mktemp("day"),
        keep=_kept,
        also=ended,
    )
    played.ledger.close()
    return played


@pytest.fixture(scope="session")
def stripe_rows(day: Played) -> list[Row]:
    """Stripe's report of that day."""
    return report_rows(day)


@pytest.fixture(autouse=True)
def _rulebook_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of one run share the rulebook, which never changes once it is read."""
    monkeypatch.setattr("worker.ledger.books.load", read_once)


@pytest.fixture
def here(day: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty current folder; the settings name the day's ledger."""
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    monkeypatch.chdir(tmp_path)
    return tmp_path
