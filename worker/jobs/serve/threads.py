"""Calls that block, beside an event loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Answer = TypeVar("Answer")


def in_thread(call: Callable[[], Answer], *, name: str) -> Future[Answer]:
    """In a thread that nobody waits for at exit, because what it asks may be silent for ever."""
    answer: Future[Answer] = Future()
    answer.set_running_or_notify_cancel()

    def run() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
            answer.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return answer
