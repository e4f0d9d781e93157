"""Calls that must end."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.kafka.call_deadline import BoundedCalls


def test_a_call_is_made_and_its_error_raised() -> None:
    """What it does is done when the caller goes on, and what it raises is raised there."""
    seen: list[int] = []
    calls = BoundedCalls()
    calls.within(30, seen.append, 1)
    assert seen == [1]
    with pytest.raises(ZeroDivisionError):
        calls.within(30, lambda: 1 // 0)
    with pytest.raises(TimeoutError, match="its own"):
        calls.within(30, _times_out)
    calls.close()


def _times_out() -> None:
    raise TimeoutError("its own")


def test_the_caller_works_meanwhile() -> None:
    """What it does may be what the call waits for; what goes wrong there leaves no call unheard."""
    begun, ended = threading.Event(), threading.Event()
    calls = BoundedCalls()
    calls.within(30, begun.wait, 30, meanwhile=begun.set)

    def call() -> None:
        begun.wait(30)
        ended.set()

    def fail() -> None:
        begun.set()
        raise ValueError("meanwhile")

    begun.clear()
    with pytest.raises(ValueError, match="meanwhile"):
        calls.within(30, call, meanwhile=fail)
    assert ended.is_set()
    calls.close()


def test_a_call_that_hangs_is_left_behind() -> None:
    """The caller gets an error that neither a retry nor an abort can mend, and may go on."""
    never = threading.Event()
    calls = BoundedCalls()
    with pytest.raises(KafkaException) as caught:
        calls.within(0.05, never.wait)
    seen: list[str] = []
    calls.within(30, seen.append, "next")
    assert seen == ["next"]
    never.set()
    calls.close()
    error = caught.value.args[0]
    assert error.code() == KafkaError._TIMED_OUT
    assert error.str() == "wait did not return"
    assert not error.retriable()
    assert not error.txn_requires_abort()


def test_its_threads_end() -> None:
    """One for all calls; the one that was left behind ends with its call."""
    before = set(threading.enumerate())
    never = threading.Event()
    calls = BoundedCalls()
    with pytest.raises(KafkaException):
        calls.within(0.05, never.wait)
    for _ in range(3):
        calls.within(30, len, "")
    ours = set(threading.enumerate()) - before
    assert len(ours) == len({"left behind", "in use"})
    never.set()
    calls.close()
    for thread in ours:
        thread.join(timeout=30)
        assert not thread.is_alive()
