"""A real schema registry for tests: Apicurio's, which speaks Confluent's API, from Maven Central.

The invariant: what is started here is ended by its own process id, also when the test process is
killed (where `setpriv` is there). It holds everything in memory.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.servers.kafka import JAVA_MIN, _java_version, free_ports

VERSION = "2.6.13.Final"
HERE = Path(__file__).parent
PROGRAM = HERE.parent.parent / ".cache" / "apicurio" / VERSION
JAR = f"apicurio-registry-app-{VERSION}-runner.jar"
START_SECONDS = 300
STOP_SECONDS = 60
FETCH_SECONDS = 600
ASK_SECONDS = 60
NOT_FOUND = 404


class RegistryUnavailable(Exception):
    """There is no registry to be had; the message is the one line that a skipped test shows."""


class ApicurioRegistry:
    """A registry that is running. url: where it answers as Confluent's does."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/apis/ccompat/v7"

    def register(self, subject: str, text: str) -> tuple[int, Any]:
        """The status and the answer to a schema that is offered."""
        return self.ask("POST", f"/subjects/{quote(subject)}/versions", {"schema": text})

    @property
    def subjects(self) -> dict[str, list[int]]:
        """The ids of the schemas that each subject holds."""
        return {name: self._ids(name) for name in self.ask("GET", "/subjects")[1]}

    def _ids(self, subject: str) -> list[int]:
        path = f"/subjects/{quote(subject)}/versions"
        versions = self.ask("GET", path)[1]
        return [self.ask("GET", f"{path}/{version}")[1]["id"] for version in versions]

    @property
    def levels(self) -> dict[str, str]:
        """The compatibility that each subject asks for, where it has its own."""
        found = {name: self.ask("GET", f"/config/{quote(name)}") for name in self.subjects}
        return {
            name: answer["compatibilityLevel"]
            for name, (status, answer) in found.items()
            if status != NOT_FOUND
        }

    def clear(self) -> None:
        """Forget every subject."""
        for name in self.ask("GET", "/subjects")[1]:
            self.ask("DELETE", f"/subjects/{quote(name)}")
            self.ask("DELETE", f"/subjects/{quote(name)}?permanent=true")

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request."""
        request = urllib.request.Request(  # noqa: S310 - on loopback
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=ASK_SECONDS) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")


@contextmanager
def apicurio_registry(work_dir: Path) -> Iterator[ApicurioRegistry]:
    """A new, empty registry; its log is under `work_dir`. Raises `Unavailable`."""
    program = _program()
    (port,) = free_ports(1)
    dies_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    brief = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    where = ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}"]
    log = work_dir / "apicurio.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*dies_with_us, "java", *brief, *where, "-jar", str(program)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        registry = ApicurioRegistry(port)
        _wait_until_ready(registry, process, log)
        yield registry
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _wait_until_ready(
    registry: ApicurioRegistry, process: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            registry.ask("GET", "/subjects")
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"Apicurio did not start:\n{said}") from None
            time.sleep(0.1)
        else:
            return


def _program() -> Path:
    """Its jar, fetched once, with all that it needs beside it."""
    if not shutil.which("mvn") or _java_version() < JAVA_MIN:
        raise RegistryUnavailable(f"no schema registry: install Java {JAVA_MIN} or newer and Maven")
    if not PROGRAM.is_dir():
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=PROGRAM.parent) as fetched:
            _fetch(Path(fetched) / "program")
            (Path(fetched) / "program").rename(PROGRAM)
    return PROGRAM / JAR


def _fetch(target: Path) -> None:
    artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
    goal = ["dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={target.parent}"]
    try:
        subprocess.run(
            ["mvn", "-q", "-B", "-f", str(HERE / "kafka-pom.xml"), *goal],
            check=True,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        last = str(error.stdout or error.stderr or "").strip().splitlines()[:1]
        raise RegistryUnavailable(
            f"no schema registry: Maven could not fetch Apicurio: {last}"
        ) from error
    with tarfile.open(next(target.parent.glob("*.tar.gz"))) as packed:
        packed.extractall(target, filter="data")
