"""The embedded ledger behind a socket, for processes that share it where there is no TigerBeetle.

Run as a program it serves one ledger file; `ServedLedger` is the port's adapter to it. The
invariant: as TigerBeetle's client does, the adapter sends a request again until it is answered, and
the server answers a request that it has carried out with the same answer. No part of the product.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from tests.servers.tigerbeetle import TigerBeetleServer
from worker.core.errors import LedgerClosed
from worker.ledger.embedded import EmbeddedLedger

PREFIX = "served:"
KEY = b"tests only"
AGAIN_SECONDS = 0.05
ANSWER_SECONDS = 2.0
"""After so long without an answer the request is sent again, on a connection of its own."""

CALLS = (
    "create_accounts",
    "create_transfers",
    "lookup_accounts",
    "lookup_transfers",
    "accounts_now",
    "query_accounts",
    "query_transfers",
    "account_transfers",
    "account_balances",
)


class ServedLedger:
    """One session with the server at `address` (`IP:port`); waits until it answers, or `close`."""

    def __init__(self, address: str, cluster_id: int = 0) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._session = uuid.uuid4().bytes
        self._requests = 0
        self._wire: Connection[Any, Any] | None = None
        self._asked_at = 0.0
        self._closed = threading.Event()
        self._batch_max = 0
        self._cluster_id = cluster_id

    @property
    def batch_max(self) -> int:
        if not self._batch_max:
            self._batch_max = self._ask("batch_max")
        return self._batch_max

    @property
    def time_ns(self) -> int:
        return int(self._ask("time_ns"))

    @property
    def waiting_seconds(self) -> float:
        asked_at = self._asked_at
        return time.monotonic() - asked_at if asked_at else 0.0

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        if name not in CALLS:
            raise AttributeError(name)
        return lambda given: self._ask(name, given)

    def close(self) -> None:
        self._closed.set()

    def _ask(self, name: str, *given: Any) -> Any:
        self._requests += 1
        self._asked_at = time.monotonic()
        request = (self._session, self._requests, name, given)
        if self._cluster_id:
            self._closed.wait()  # TigerBeetle does not answer the clients of another cluster
        try:
            while not self._closed.is_set():
                try:
                    return self._once(request)
                except (OSError, EOFError):
                    self._wire = None
                    self._closed.wait(AGAIN_SECONDS)
        finally:
            self._asked_at = 0.0
        raise LedgerClosed("the ledger was closed while a request was under way")

    def _once(self, request: tuple[Any, ...]) -> Any:
        if self._wire is None:
            self._wire = Client(self._address, authkey=None)
        self._wire.send(request)
        if not self._wire.poll(ANSWER_SECONDS):
            raise EOFError("no answer")
        answer = self._wire.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def served(folder: Path) -> Iterator[TigerBeetleServer]:
    """A server of a new ledger, in a process of its own."""
    file = folder / "served.ledger"
    root = Path(__file__).parents[2]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.servers.served", str(file)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    server = TigerBeetleServer("", start(), start)
    try:
        server.address = server.listening()
        yield server
    finally:
        server.end()


def serve(file: Path) -> None:
    """Serve the ledger in this file on a free port, which is printed, until stdin closes."""
    ledger, lock = EmbeddedLedger(path=file), threading.Lock()
    answers: dict[bytes, tuple[int, Any]] = {}
    listener = Listener(("127.0.0.1", 0))
    print(listener.address[1], flush=True)
    threading.Thread(target=_end_with_stdin, daemon=True).start()

    def answer(session: bytes, number: int, name: str, given: tuple[Any, ...]) -> Any:
        with lock:
            last, told = answers.get(session, (0, None))
            if number > last:
                try:
                    told = getattr(ledger, name)(*given) if given else getattr(ledger, name)
                except Exception as error:  # noqa: BLE001 - told to the client
                    told = error
                answers[session] = (number, told)
            return told

    def talk(wire: Connection[Any, Any]) -> None:
        try:
            while True:
                wire.send(answer(*wire.recv()))
        except (OSError, EOFError):
            wire.close()

    while True:
        threading.Thread(target=talk, args=(listener.accept(),), daemon=True).start()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
