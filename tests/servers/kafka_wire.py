"""A wire between clients and a broker that loses the answer to what is produced, once told to.

It reads the requests of Kafka's protocol: a length of four bytes, then a number of two that says
what is asked. In place of the lost answer, the connection ends.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Final

PRODUCE: Final = 0
CHUNK: Final = 65_536


class KafkaWire:
    """Listens on a free port of this machine until it is closed.

    upstream: the broker's listener. losing: set it, and the next answer to a Produce request is
    lost. lost: set when it was.
    """

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.losing = threading.Event()
        self.lost = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                below, _ = self._listener.accept()
                try:
                    above = socket.create_connection(self._upstream)
                except OSError:
                    below.close()
                    continue
                one = _Connection(self, below, above)
                threading.Thread(target=one.up, daemon=True).start()
                threading.Thread(target=one.down, daemon=True).start()


class _Connection:
    """One client's, in two threads."""

    def __init__(self, wire: KafkaWire, below: socket.socket, above: socket.socket) -> None:
        self._wire = wire
        self._below = below
        self._above = above
        self._mute = False

    def up(self) -> None:
        """Requests, one by one."""
        with suppress(OSError, EOFError):
            while True:
                size = _exactly(self._below, 4)
                request = _exactly(self._below, struct.unpack(">i", size)[0])
                asked = struct.unpack(">h", request[:2])[0]
                if asked == PRODUCE and self._wire.losing.is_set():
                    self._wire.losing.clear()
                    self._mute = True
                self._above.sendall(size + request)
        self._end()

    def down(self) -> None:
        """Answers, as they come."""
        with suppress(OSError):
            while chunk := self._above.recv(CHUNK):
                if self._mute:
                    self._wire.lost.set()
                    break
                self._below.sendall(chunk)
        self._end()

    def _end(self) -> None:
        for one in (self._below, self._above):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _exactly(source: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        found = source.recv(count - len(parts))
        if not found:
            raise EOFError
        parts += found
    return bytes(parts)
