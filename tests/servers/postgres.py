"""A real PostgreSQL server for tests: its own binaries, else a container, else the reason why not.

The invariant: what is started here is ended by its own process id, also when the test process is
killed (where `setpriv` is there), and its files are deleted.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psycopg

from tests.servers.kafka import docker_answers, free_ports

IMAGE = "postgres:17.7-bookworm"
START_SECONDS = 120
STOP_SECONDS = 60
UNSAFE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB")
"""Quick, and the files are deleted anyway."""

OTHER_USERS = ("postgres", "nobody")


class PostgresUnavailable(Exception):
    """There is no server to be had; the message is the one line that a skipped test shows."""


class PostgresServer(Protocol):
    """A server that is running; its data and its address outlive `stop`."""

    dsn: str

    def start(self) -> None:
        """Start it again, and wait until it answers."""
        ...

    def stop(self) -> None:
        """End it at once, as a restart does: connections are broken."""
        ...


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A new server with an empty database. Raises `Unavailable`."""
    binaries = find_binaries()
    if binaries is None and not docker_answers():
        raise PostgresUnavailable(
            "no PostgreSQL server: install it (Debian, Ubuntu: apt-get install postgresql), or"
            " start Docker"
        )
    server = _ProcessServer(binaries) if binaries else _ContainerServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


def find_binaries() -> Path | None:
    """The folder with initdb and postgres: where PATH leads, else where Debian puts them."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    return None


def _wait_until_ready(dsn: str, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(dsn, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start") from error
            time.sleep(0.05)
        else:
            return


class _ProcessServer:
    """`postgres` on loopback; it refuses to run as root, so root runs it as somebody else."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._dir = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._as_user: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            self._as_user = self._other_user()
        (self._port,) = free_ports(1)
        self.dsn = f"postgresql://tester@127.0.0.1:{self._port}/postgres"

    def _other_user(self) -> list[str]:
        for name in OTHER_USERS:
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                os.chown(self._dir, entry.pw_uid, entry.pw_gid)
                return [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
        raise PostgresUnavailable("PostgreSQL does not run as root, and there is no user `nobody`")

    def _command(self, *words: str) -> list[str]:
        """A command that ends with us, as the user who may run it."""
        setpriv = ["setpriv", *self._as_user, "--pdeathsig", "KILL"]
        return [*(setpriv if shutil.which("setpriv") else []), *words]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if not (self._dir / "data").exists():
            self._make()
        options = [f"-c{one}" for one in (*UNSAFE, "unix_socket_directories=")]
        server = [str(self._binaries / "postgres"), "-D", str(self._dir / "data")]
        self._process = subprocess.Popen(
            self._command(*server, "-h127.0.0.1", f"-p{self._port}", *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._dir,
        )
        _wait_until_ready(self.dsn, self._process)

    def _make(self) -> None:
        options = ["--no-sync", "--auth=trust", "--username=tester", "--no-instructions"]
        options += ["--encoding=UTF8", "--locale=C"]
        command = [str(self._binaries / "initdb"), *options, "-D", str(self._dir / "data")]
        subprocess.run(
            self._command(*command),
            check=True,
            capture_output=True,
            timeout=START_SECONDS,
            cwd=self._dir,
        )

    def stop(self) -> None:
        """End it at once: connections are broken."""
        if self._process is not None:
            self._process.send_signal(2)  # SIGINT: PostgreSQL's fast shutdown
            self._process.wait(STOP_SECONDS)
            self._process = None

    def remove(self) -> None:
        """End it for good, and delete its files."""
        self.stop()
        shutil.rmtree(self._dir, ignore_errors=True)


class _ContainerServer:
    """PostgreSQL in a container whose port stays."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - with Docker only

        (port,) = free_ports(1)
        self._container = DockerContainer(IMAGE).with_bind_ports(5432, port)
        settings = {"POSTGRES_USER": "tester", "POSTGRES_DB": "postgres"}
        for key, value in {**settings, "POSTGRES_HOST_AUTH_METHOD": "trust"}.items():
            self._container.with_env(key, value)
        self._made = False
        self.dsn = f"postgresql://tester@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if self._made:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._made = True
        _wait_until_ready(self.dsn)

    def stop(self) -> None:
        """End it at once: connections are broken."""
        self._container.get_wrapped_container().stop(timeout=STOP_SECONDS)

    def remove(self) -> None:
        """End it for good, and delete its files."""
        if self._made:
            self._container.stop(force=True, delete_volume=True)
