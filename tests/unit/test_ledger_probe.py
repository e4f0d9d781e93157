"""The probe: an idle worker hears that its ledger is away, or refuses it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from worker.core.errors import DependencyUnavailable
from worker.ledger.clock import LedgerClock
from worker.ledger.embedded import EmbeddedLedger
from worker.ledger.probe import PROBE_SECONDS, LedgerProbe


class IdleThread(Executor):
    """A thread that works when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        self.asked.append((answer, lambda: call(*arguments)))
        return answer

    def work(self) -> None:
        """Answer everything that was asked."""
        for answer, call in self.asked:
            try:
                answer.set_result(call())
            except DependencyUnavailable as refused:
                answer.set_exception(refused)
        self.asked.clear()


class Refusing(EmbeddedLedger):
    """A ledger that has ended our session."""

    @property
    def time_ns(self) -> int:
        raise DependencyUnavailable("the cluster ended this client's session")


def test_one_question_at_a_time() -> None:
    """It asks when its time has come, and not again before there is an answer, however late."""
    clock, thread = [100.0], IdleThread()
    probe = LedgerProbe(
        clock=LedgerClock(EmbeddedLedger()), ledger_thread=thread, now=lambda: clock[0]
    )
    probe.look()
    assert len(thread.asked) == 0
    for _ in range(3):
        clock[0] += PROBE_SECONDS
        probe.look()
        assert len(thread.asked) == 1
    thread.work()
    probe.look()
    assert len(thread.asked) == 1


def test_a_refusal_is_heard() -> None:
    """What the ledger answers to the probe ends the loop as it would at the next batch."""
    clock, thread = [100.0], IdleThread()
    probe = LedgerProbe(clock=LedgerClock(Refusing()), ledger_thread=thread, now=lambda: clock[0])
    clock[0] += PROBE_SECONDS
    probe.look()
    thread.work()
    with pytest.raises(DependencyUnavailable, match="ended this client's session"):
        probe.look()
