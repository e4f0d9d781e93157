"""Calls of the Kafka client that must end, whatever their own time limit does.

The invariant: the caller goes on after the limit. The thread of a call that hangs is left behind,
and whoever left it must not use that client again. Source: librdkafka#5456, where
`send_offsets_to_transaction` never returned after its group's coordinator was gone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Final

from confluent_kafka import KafkaError, KafkaException

HANG_SECONDS: Final = 30.0
"""No call is asked to take longer than a third of this."""


def within(seconds: float, call: Callable[..., object], *arguments: object) -> None:
    """Make this call in a thread of its own; what it raises is raised here.

    Raises:
        KafkaException: not retriable, when the call has not returned in time.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            call(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
            done.set_exception(error)
        else:
            done.set_result(None)

    Thread(target=run, name="kafka-call", daemon=True).start()
    try:
        done.result(timeout=seconds)
    except TimeoutError:
        if done.done():
            raise
        name = getattr(call, "__name__", "a call")
        hung = KafkaError(KafkaError._TIMED_OUT, f"{name} did not return")  # noqa: SLF001
        raise KafkaException(hung) from None
