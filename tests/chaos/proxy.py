"""A wire between workers and the ledger that can be cut, blocked, or made to lose answers.

One thread with an event loop; `upstream` may change between two connections.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Literal

Mode = Literal["pass", "hole", "deaf"]
"""pass: all goes through. hole: nothing does, and nobody is told. deaf: answers are lost."""

CHUNK = 65_536


class Proxy:
    """Listens on a free port of this machine while it is open."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.mode: Mode = "pass"
        self.address = ""
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def open(self) -> None:
        """Listen."""
        self._thread.start()
        if not self._listens.wait(30):
            raise RuntimeError("the proxy did not start")

    def heal(self) -> None:
        """Pass again; what went through a hole is lost, so every connection ends."""
        self.mode = "pass"
        self._loop.call_soon_threadsafe(self._cut)

    def cut(self) -> None:
        """End every connection; new ones are taken."""
        self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        """Listen no more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen())
        self._listens.set()
        self._loop.run_forever()
        self._cut()
        if left := asyncio.all_tasks(self._loop):
            self._loop.run_until_complete(asyncio.wait(left, timeout=5))
        self._loop.close()

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.upstream.rpartition(":")
        try:
            above, to_above = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        ends = {writer, to_above}
        self._writers |= ends
        with suppress(OSError):
            await asyncio.gather(
                self._pump(reader, to_above, "hole"),
                self._pump(above, writer, "hole", "deaf"),
            )
        self._writers -= ends

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *lost: Mode
    ) -> None:
        try:
            while chunk := await reader.read(CHUNK):
                if self.mode not in lost:
                    writer.write(chunk)
                    await writer.drain()
        finally:
            writer.close()
