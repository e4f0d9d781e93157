"""A real TigerBeetle server for tests: its own binary, else a container, else the reason why not.

The invariant: what is started here ends with the test process, even when that is killed, and its
data file (1 GiB) is deleted.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.kafka import docker_answers

IMAGE = "ghcr.io/tigerbeetle/tigerbeetle:0.17.9"
FORMAT = ["format", "--cluster=0", "--replica=0", "--replica-count=1"]
CACHE = ("--cache-grid=512MiB",)
LEAN = (
    "--experimental",
    "--cache-grid=64MiB",
    "--limit-pipeline-requests=0",
    "--cache-accounts=1MiB",
    "--cache-transfers=0",
    "--cache-transfers-pending=0",
    "--memory-lsm-manifest=8MiB",
)
"""1 GiB of memory less to touch before the server listens."""

START_SECONDS = 600  # seconds where it is quiet; a throttled machine has taken 280


class TigerBeetleUnavailable(Exception):
    """There is no server to be had; the message is the one line that a skipped test shows."""


@dataclass(slots=True)
class TigerBeetleServer:
    """A running server. address: IP:port. process: its own, None in a container.

    again: starts it anew on the same data file.
    """

    address: str
    process: subprocess.Popen[str] | None = None
    again: Callable[[], subprocess.Popen[str]] | None = None

    def pause(self) -> None:
        """Let it answer nothing, as a cluster that is down does, until `resume`."""
        self._own().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it was."""
        self._own().send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._own().kill()
        self._own().wait()

    def start(self) -> None:
        """Start it again after `kill`, on another port."""
        if self.again is not None:
            self.process = self.again()
            self.address = self.listening()

    def restart(self) -> None:
        """End it as a power cut would, and start it again on another port."""
        self.kill()
        self.start()

    def listening(self) -> str:
        """Wait until it says its port; the address."""
        said = self._own().stdout
        if said is None or not (port := said.readline().strip()):
            raise RuntimeError("the ledger's server ended before it listened")
        return f"127.0.0.1:{port}"

    def end(self) -> None:
        """For good."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def _own(self) -> subprocess.Popen[str]:
        if self.process is None:
            raise TigerBeetleUnavailable(
                "a server in a container is not ours: put `tigerbeetle` on PATH"
            )
        return self.process


def find_tigerbeetle() -> str | None:
    """The server's binary: TIGERBEETLE_BIN, else `tigerbeetle` on PATH, else None."""
    return os.environ.get("TIGERBEETLE_BIN") or shutil.which("tigerbeetle")


@contextmanager
def tigerbeetle_server(*, development: bool = False, data_dir: Path) -> Iterator[str]:
    """The address of a new, empty one-replica cluster 0. Raises `Unavailable`."""
    with tigerbeetle(development=development, data_dir=data_dir) as server:
        yield server.address


@contextmanager
def tigerbeetle(
    *, development: bool = False, data_dir: Path, memory: tuple[str, ...] = LEAN
) -> Iterator[TigerBeetleServer]:
    """A new, empty one-replica cluster 0. Raises `Unavailable`.

    development: with the small batches of `--development`, else with `memory`.
    """
    file = data_dir / "0_0.tigerbeetle"
    mode = ["--development"] if development else []
    options = mode or list(memory)
    try:
        if binary := find_tigerbeetle():
            with _process(binary, mode, options, file) as server:
                yield server
        elif docker_answers():
            with _container(mode, options, file) as server:
                yield server
        else:
            raise TigerBeetleUnavailable(
                "no TigerBeetle server: put `tigerbeetle` 0.17.9 on PATH or in TIGERBEETLE_BIN, "
                "or start Docker"
            )
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _process(
    binary: str, mode: list[str], options: list[str], file: Path
) -> Iterator[TigerBeetleServer]:
    """At address 0 a server takes a free port, prints it, and ends when its stdin closes."""
    try:
        subprocess.run([binary, *FORMAT, *mode, str(file)], check=True, capture_output=True)
    except FileNotFoundError as error:
        raise TigerBeetleUnavailable(f"there is no TigerBeetle server at {binary}") from error

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [binary, "start", "--addresses=0", *options, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    server = TigerBeetleServer("", start(), start)
    try:
        server.address = server.listening()
        yield server
    finally:
        server.end()


@contextmanager
def _container(mode: list[str], options: list[str], file: Path) -> Iterator[TigerBeetleServer]:
    """One run to format, one to start; io_uring needs more than Docker's default profile."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only with Docker
    from testcontainers.core.waiting_utils import wait_for_logs  # noqa: PLC0415

    def container(*command: str) -> DockerContainer:
        return (
            DockerContainer(IMAGE, security_opt=["seccomp=unconfined"], cap_add=["IPC_LOCK"])
            .with_volume_mapping(str(file.parent), "/data", "rw")
            .with_command([*command, f"/data/{file.name}"])
        )

    with container(*FORMAT, *mode) as formatting:
        if formatting.get_wrapped_container().wait(timeout=START_SECONDS)["StatusCode"]:
            raise RuntimeError("the TigerBeetle container could not format its data file")
    serving = container("start", "--addresses=0.0.0.0:3000", *options)
    with serving.with_exposed_ports(3000):
        wait_for_logs(serving, "listening on", timeout=START_SECONDS)
        yield TigerBeetleServer(f"127.0.0.1:{serving.get_exposed_port(3000)}")
