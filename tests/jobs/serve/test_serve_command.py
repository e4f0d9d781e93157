"""`ledger-worker serve`: how it starts, when it refuses to, and how it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.jobs.serve.served import PATIENCE_SECONDS, WALLET, serve
from worker.commands.cli import main
from worker.commands.serve import Serving, open_serving, watch
from worker.config.settings import Settings, load_settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.wire import Account
from worker.jobs.live.run import Stop
from worker.jobs.serve.server import is_loopback, listen
from worker.ledger.embedded import EmbeddedLedger

TOKEN = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def _ledger_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty ledger in a file, in the current folder."""
    EmbeddedLedger(path=tmp_path / "books.ledger").close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", "embedded:books.ledger")
    monkeypatch.setenv("LEDGER_WORKER_SERVE__PORT", "0")


def skip_without_ipv6(host: str) -> None:
    """Some containers have none."""
    if ":" in host:
        try:
            listen("::1", 0).close()
        except UsageError:
            pytest.skip("no IPv6 on the loopback: enable it to try ::1")


@pytest.mark.parametrize(
    ("host", "tokens", "says"),
    [
        ("0.0.0.0",     "",        "can be reached from other machines, and serve.tokens_file is"),  # noqa: S104
        ("::",          "",        "can be reached from other machines"),
        ("0.0.0.0",     "nowhere", "serve.tokens_file nowhere cannot be read: No such file"),  # noqa: S104
        ("127.0.0.1",   "empty",   "serve.tokens_file empty holds no token"),
        ("192.0.2.1",   "",        "serve.port 0 on 192.0.2.1 cannot be listened on"),
        ("no such host", "",       "serve.port 0 on no such host cannot be listened on"),
    ],
)  # fmt: skip
def test_it_does_not_start(
    host: str,
    tokens: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence and exit code 2, above all where others could read without a token."""
    skip_without_ipv6(host)
    Path("empty").touch()
    monkeypatch.setenv("LEDGER_WORKER_SERVE__HOST", host)
    monkeypatch.setenv("LEDGER_WORKER_SERVE__TOKENS_FILE", tokens)
    assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only this machine can reach starts without a tokens file."""
    skip_without_ipv6(host)
    monkeypatch.setenv("LEDGER_WORKER_SERVE__HOST", host)
    with open_serving(load_settings()) as serving:
        assert serving.server.running


def test_a_name_of_this_machine_is_judged_by_its_address() -> None:
    """The bound socket counts, not how the setting is written."""
    for host, loopback in (("localhost", True), ("127.9.9.9", True), ("0.0.0.0", False)):  # noqa: S104
        listening = listen(host, 0)
        assert is_loopback(listening) == loopback
        listening.close()


def test_a_taken_port(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that somebody listens on is named, with what to set."""
    taken = listen("127.0.0.1", 0)
    taken.listen()
    monkeypatch.setenv("LEDGER_WORKER_SERVE__PORT", str(taken.getsockname()[1]))
    assert main(["serve"]) == 2
    assert "set LEDGER_WORKER_SERVE__PORT to another" in capsys.readouterr().err
    taken.close()


def test_without_the_library(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra it says what to install."""
    for name in ("api", "server", "middleware"):
        monkeypatch.delitem(sys.modules, f"worker.jobs.serve.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve"]) == 2
    assert "pip install 'ledger-worker[serve]'" in capsys.readouterr().err


class Evicted:
    """A ledger whose session the cluster has ended."""

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        del ids
        raise DependencyUnavailable("the cluster ended this client's session")

    def close(self) -> None: ...


def test_a_client_that_is_of_no_use_ends_the_process() -> None:
    """Its last reader gets 503, and the command ends with the client's own error, for a restart."""
    with serve(Evicted()) as served:
        assert served.get(f"{WALLET}/a?currency=usd").refusal == (503, "stopping")
        with pytest.raises(DependencyUnavailable, match="ended this client's session"):
            watch(Serving(served.server, served.lookups), Stop())


@contextmanager
def running(**environ: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command in a process of its own, once it serves, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "serve"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert select.select([process.stderr], [], [], PATIENCE_SECONDS)[0]
        line = json.loads(process.stderr.readline())
        assert line["event"] == "serving", line
        yield process, line["port"]
    finally:
        process.kill()
        process.communicate()


def test_the_process() -> None:
    """It logs its port, answers with a token, and ends with 0 soon after SIGTERM."""
    Path("tokens").write_text(TOKEN)
    with running(LEDGER_WORKER_SERVE__TOKENS_FILE="tokens") as (process, port):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{WALLET}/cus_1?currency=usd",
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
            assert json.loads(answer.read())["available"] == "0"
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert process.returncode == 0
    assert [json.loads(line)["event"] for line in rest.splitlines()] == ["stopped"]
    assert TOKEN not in rest


def test_settings_have_defaults() -> None:
    """Out of the box it listens on loopback only."""
    assert Settings().serve.host == "127.0.0.1"
    assert Settings().serve.deadline_seconds == 2
