"""`doctor`: it looks at everything, says what to do, and its exit code says which kind is wrong."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from worker.commands.cli import main
from worker.commands.doctor import examine, exit_code, print_checks
from worker.config.sections import ROLE_TOPICS
from worker.config.settings import PACKAGED_RULEBOOK, PREFIX, load_settings
from worker.kafka.admin import _topics
from worker.observe.findings import CONFIGURATION, DEPENDENCY, Finding


@pytest.fixture(autouse=True)
def _embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "embedded")
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", "embedded")
    monkeypatch.setenv("LEDGER_WORKER_HTTP__PORT", "0")


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Finding]]:
    """The exit code, and the findings by name."""
    code = main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    checks = [Finding(**check) for check in found["checks"]]
    assert found["ok"] is all(check.ok for check in checks)
    return code, {check.name: check for check in checks}


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    """With the embedded broker and ledger everything is found in order, and the exit code is 0."""
    code, checks = doctor(capsys)
    assert code == 0
    assert {"settings", "rulebook", "schemas", "kafka", "ledger", "http port"} <= checks.keys()
    assert "8189 transfers a request" in checks["ledger"].detail


def test_a_person_reads_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json every finding is a line that begins with ok or FAIL."""
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(("ok ", " "))] == []


def test_wrong_settings_are_the_only_finding(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that are not understood end with 2, and the key is named."""
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__GRUP_ID", "x")
    code, checks = doctor(capsys)
    assert (code, list(checks)) == (2, ["settings"])
    assert "LEDGER_WORKER_KAFKA__GRUP_ID" in checks["settings"].detail


@pytest.mark.parametrize(
    ("name", "text", "finding", "code"),
    [
        ("RULEBOOK",                 "nowhere.yaml",        "rulebook", 2),
        ("SCHEMA_REGISTRY__IDS",     '{"1": "unheard_of"}', "schemas",  2),
        ("LEDGER__ADDRESSES",        "no-such-host.invalid:3000", "ledger", 2),
        ("KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1",         "kafka",    3),
    ],
)  # fmt: skip
def test_each_failure_is_a_finding(  # noqa: PLR0913, PLR0917 - a table's columns and two fixtures
    name: str,
    text: str,
    finding: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is wrong is found with what to do, and the other checks are made all the same."""
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", "embedded:books.ledger")
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__DEADLINE_SECONDS", "1")
    monkeypatch.setenv(PREFIX + name, text)
    found, checks = doctor(capsys)
    assert found == code
    assert not checks[finding].ok
    assert checks[finding].advice
    assert checks["http port"].ok


MODES = [
    # brokers                               mode     a warning
    ("embedded",                            "any",   False),
    ("localhost:9092",                      "any",   False),
    ("127.0.0.1:9092,[::1]:9092",           "any",   False),
    ("kafka:9092",                          "any",   True),
    ("localhost:9092,kafka:9092",           "any",   True),
    ("localhost.example.com:9092",          "any",   True),
    ("kafka:9092",                          "false", False),
    ("kafka:9092",                          "true",  False),
]  # fmt: skip


def test_a_feeds_own_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """--feed looks at Kafka and Stripe only: where a feed runs, the ledger may be out of reach."""
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", "127.0.0.1:1")
    names = {each.name for each in examine(None, feed_only=True)}
    assert names >= {"settings", "events", "rulebook", "kafka", "stripe"}
    assert not names & {"ledger", "io_uring", "http port"}
    topics = {each.name for each in _topics(load_settings(), {}, feed_only=True)}
    assert topics == {"topic stripe.payments", "topic stripe.settlements", "topic ledger.feed"}


@pytest.mark.parametrize(("brokers", "mode", "warned"), MODES)
def test_both_modes_in_one_book_are_warned_of(
    brokers: str,
    mode: str,
    warned: bool,  # noqa: FBT001 - a column of the table
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Away from one's own machine, `livemode any` is a warning that says what to set."""
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", brokers)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", "embedded:books.ledger")
    monkeypatch.setenv("LEDGER_WORKER_EVENTS__LIVEMODE", mode)
    found = next(each for each in examine(None) if each.name == "events")
    assert found.ok
    assert ("LEDGER_WORKER_EVENTS__LIVEMODE" in found.advice) is warned


ALL_ROLES = json.dumps(ROLE_TOPICS)
READ = [
    # inputs                                     nobody reads
    (None,                                       "treasury, journal"),
    (ALL_ROLES,                                  ""),
    ('{"payments": "p", "settlements": "s", "commands": "c", "journal": "j"}', "treasury"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "unread"), READ)
def test_roles_that_nobody_reads_are_told(
    inputs: str | None,
    unread: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A role of the rulebook without a topic here is told, with the setting that reads it."""
    if inputs is not None:
        monkeypatch.setenv("LEDGER_WORKER_TOPICS__INPUTS", inputs)
    code, checks = doctor(capsys)
    assert code == 0
    if not unread:
        assert "topic roles" not in checks
        return
    assert f"nobody here reads {unread}, which" in checks["topic roles"].detail
    assert '"treasury":"wallet.treasury"' in checks["topic roles"].advice


def test_a_taken_port_is_a_finding(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that somebody listens on is found before the worker trips over it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("LEDGER_WORKER_HTTP__HOST", "127.0.0.1")
        monkeypatch.setenv("LEDGER_WORKER_HTTP__PORT", str(taken.getsockname()[1]))
        code, checks = doctor(capsys)
    assert code == 2
    assert "LEDGER_WORKER_HTTP__PORT" in checks["http port"].advice


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ([],                          0),
        ([DEPENDENCY],                3),
        ([CONFIGURATION],             2),
        ([DEPENDENCY, CONFIGURATION], 2),
    ],
)  # fmt: skip
def test_configuration_comes_first(wrong: list[int], code: int) -> None:
    """Wrong configuration decides the exit code, because nothing else can be trusted then."""
    checks = [Finding("fine", ok=True, detail="")]
    checks += [Finding("wrong", ok=False, detail="", exit_code=kind) for kind in wrong]
    assert exit_code(checks) == code


def test_each_finding_is_printed_as_it_comes() -> None:
    """What was found stands on standard output before the next check begins, which may hang."""
    shown: list[str] = []

    def findings() -> Iterator[Finding]:
        yield Finding("first", ok=True, detail="is well")
        shown.append(out.getvalue())
        yield Finding("second", ok=True, detail="is well")

    out = io.StringIO()
    with redirect_stdout(out):
        print_checks(findings(), as_json=False)
    assert shown[0].split() == ["ok", "first", "is", "well"]


def test_a_rulebook_that_was_changed_is_refused_as_run_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody approved it; both end with 2 and say how it is approved."""
    for name in ("stripe-wallets.yaml", "rulebook.lock"):
        (tmp_path / name).write_bytes((PACKAGED_RULEBOOK.parent / name).read_bytes())
    path = tmp_path / "stripe-wallets.yaml"
    path.write_text(path.read_text().replace("ignore:", "ignore:\n  - nothing.like.this", 1))
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(path))
    code, found = doctor(capsys)
    assert (code, found["rulebook"].ok) == (2, False)
    assert "--accept-unlocked" in found["rulebook"].advice
    assert main(["run", "--drain"]) == 2
    assert "--accept-unlocked" in capsys.readouterr().err
