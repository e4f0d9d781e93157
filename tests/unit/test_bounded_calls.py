"""Calls that must end."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.kafka.bounded import within


def test_a_call_is_made_and_its_error_raised() -> None:
    """What it does is done when the caller goes on, and what it raises is raised there."""
    seen: list[int] = []
    within(30, seen.append, 1)
    assert seen == [1]
    with pytest.raises(ZeroDivisionError):
        within(30, lambda: 1 // 0)
    with pytest.raises(TimeoutError, match="its own"):
        within(30, _times_out)


def _times_out() -> None:
    raise TimeoutError("its own")


def test_a_call_that_hangs_is_left_behind() -> None:
    """The caller gets an error that neither a retry nor an abort can mend."""
    never = threading.Event()
    with pytest.raises(KafkaException) as caught:
        within(0.05, never.wait)
    never.set()
    error = caught.value.args[0]
    assert error.code() == KafkaError._TIMED_OUT
    assert error.str() == "wait did not return"
    assert not error.retriable()
    assert not error.txn_requires_abort()
