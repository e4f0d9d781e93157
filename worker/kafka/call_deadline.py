"""Calls of the Kafka client with a deadline, because some ignore their own time limit.

The thread of a call that hangs is left behind; its client must not be used again. Source:
librdkafka#5456, where `send_offsets_to_transaction` never returned without its group's coordinator.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

HANG_SECONDS: Final = 30.0
"""No call is given longer than two thirds of this."""

_Call = tuple[Future[None], Callable[..., object], tuple[Any, ...]]


class BoundedCalls:
    """Makes calls in one thread of its own, until one hangs; then in a new one.

    The thread stays, because starting one for each call took half a millisecond of every
    transaction.
    """

    def __init__(self) -> None:
        self._queue = _started()

    def within(
        self,
        seconds: float,
        call: Callable[..., object],
        *arguments: object,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Make this call; what it raises is raised here.

        meanwhile: done here while the call is made there; the call's end is waited for in any case.

        Raises:
            KafkaException: not retriable, when the call has not returned in time.
        """
        done: Future[None] = Future()
        self._queue.put((done, call, arguments))
        try:
            meanwhile()
        finally:
            self._wait(done, seconds, call)

    def _wait(self, done: Future[None], seconds: float, call: Callable[..., object]) -> None:
        try:
            return done.result(timeout=seconds)
        except TimeoutError:
            if done.done():  # its own error, or it came back just now
                return done.result()
            self.close()  # it ends when the call returns, if ever
            self._queue = _started()
            name = getattr(call, "__name__", "a call")
            hung = KafkaError(KafkaError._TIMED_OUT, f"{name} did not return")  # noqa: SLF001
            raise KafkaException(hung) from None

    def close(self) -> None:
        """End the thread when its call has returned."""
        self._queue.put(None)


def _started() -> SimpleQueue[_Call | None]:
    queue: SimpleQueue[_Call | None] = SimpleQueue()
    Thread(target=_serve, args=(queue,), name="kafka-call", daemon=True).start()
    return queue


def _serve(queue: SimpleQueue[_Call | None]) -> None:
    while (queued := queue.get()) is not None:
        done, call, arguments = queued
        try:
            call(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
            done.set_exception(error)
        else:
            done.set_result(None)
