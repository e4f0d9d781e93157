"""Runs what pages read: in threads, only so many at a time, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from worker.core.errors import DependencyUnavailable
from worker.jobs.pages.bounds import TookTooLong
from worker.jobs.serve.threads import in_thread

READS_MAX: Final = 4
"""Pages that are read at once."""

QUEUE_SECONDS: Final = 5.0
"""How long a page waits for its turn to be read."""

ANSWER_SECONDS: Final = 30.0
"""How long a page's reader waits, also where ledger or broker are silent."""

Answer = TypeVar("Answer")


class Busy(DependencyUnavailable):
    """As many pages are read already as may."""


class ReadSlots:
    """Lets `READS_MAX` reads go on at a time. A read keeps its slot until it ends by itself."""

    def __init__(self, *, queue: float = QUEUE_SECONDS, answer: float = ANSWER_SECONDS) -> None:
        self._free = asyncio.Semaphore(READS_MAX)
        self._queue_seconds = queue
        self._answer_seconds = answer

    async def run(self, read: Callable[[], Answer]) -> Answer:
        """What the read returns or raises.

        Raises:
            Busy: too many others go on for too long.
            TookTooLong: nothing came in time.
        """
        try:
            await asyncio.wait_for(self._free.acquire(), self._queue_seconds)
        except TimeoutError:
            raise Busy("too many pages are being read: try again in a moment") from None
        reading = asyncio.wrap_future(in_thread(read, name="pages"))
        reading.add_done_callback(self._release)
        try:
            return await asyncio.wait_for(asyncio.shield(reading), self._answer_seconds)
        except TimeoutError:
            seconds = f"{self._answer_seconds:g} s"
            raise TookTooLong(f"the ledger or Kafka did not answer in {seconds}") from None

    def _release(self, reading: asyncio.Future[Answer]) -> None:
        self._free.release()
        reading.cancelled() or reading.exception()  # Python complains of one that nobody reads
