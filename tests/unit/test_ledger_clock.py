"""The clock by which parked events wait."""

from __future__ import annotations

import time

import pytest

from worker.ledger.clock import LedgerClock
from worker.ledger.embedded import EmbeddedLedger

SECOND_NS = 1_000_000_000


class LedgerAtTime(EmbeddedLedger):
    """A ledger whose clock shows what it is told to."""

    shown_ns = 0

    @property
    def time_ns(self) -> int:
        return self.shown_ns


def test_it_goes_on_by_itself() -> None:
    """Between two answers, and in an outage, it runs on; before the first there is no time."""
    ledger, own = LedgerAtTime(), [5 * SECOND_NS]
    clock = LedgerClock(ledger, now_ns=lambda: own[0])
    with pytest.raises(RuntimeError):
        clock.now_ms()
    ledger.shown_ns = 1_800_000_000 * SECOND_NS
    clock.ask()
    assert clock.now_ms() == 1_800_000_000_000
    own[0] += 3 * SECOND_NS
    assert clock.now_ms() == 1_800_000_003_000


def test_an_answer_that_came_late_does_not_turn_it_back() -> None:
    """A reply that lay about for a minute shows the time of a minute ago."""
    ledger, own = LedgerAtTime(), [0]
    clock = LedgerClock(ledger, now_ns=lambda: own[0])
    ledger.shown_ns = 1_800_000_000 * SECOND_NS
    clock.ask()
    own[0] += 60 * SECOND_NS
    clock.ask()
    assert clock.now_ms() == 1_800_000_060_000
    ledger.shown_ns += 120 * SECOND_NS  # this machine slept, and its own clock did not count that
    clock.ask()
    assert clock.now_ms() == 1_800_000_120_000


def test_the_clock_of_the_machine_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hours ahead or behind, a worker shows the ledger's time."""
    ledger = EmbeddedLedger(now_ns=lambda: 1_800_000_000 * SECOND_NS)
    clock = LedgerClock(ledger, now_ns=lambda: 0)
    clock.ask()
    monkeypatch.setattr(time, "time_ns", lambda: 7_200 * SECOND_NS)
    monkeypatch.setattr(time, "time", lambda: 7_200.0)
    clock.ask()
    assert clock.now_ms() == 1_800_000_000_000
