"""The command line: quick help, one sentence per failure, and the exit codes of the README."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest

from worker import __version__
from worker.commands import cli
from worker.commands.cli import COMMANDS, main
from worker.core.errors import BrokenInvariant, DependencyUnavailable, UsageError

HEAVY = {
    *("pydantic", "confluent_kafka", "tigerbeetle", "fastavro", "structlog", "yaml", "orjson"),
    *("rich", "fastapi", "starlette", "uvicorn", "duckdb", "prometheus_client"),
}


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_help_lists_every_command() -> None:
    """`--help` ends with 0 and has a line for each command."""
    shown = run_python("-m", "worker", "--help")
    assert shown.returncode == 0
    for name, text in COMMANDS.items():
        assert f"{name:<13} {text}" in shown.stdout


def test_help_imports_nothing_heavy() -> None:
    """`--help` imports no client, no codec and no settings library."""
    shown = run_python("-X", "importtime", "-m", "worker", "--help")
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in shown.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own `--help` begins as the table of all commands does."""
    assert main([name, "--help"]) == 0
    assert " ".join(COMMANDS[name].split()) in " ".join(capsys.readouterr().out.split())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the package's version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ledger-worker {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([],                    "a command is missing: run, demo"),
        (["fly"],               "unknown command 'fly': choose run, demo"),
        (["rum"],               "unknown command 'rum': did you mean run?"),
        (["tail", "--outcome", "rejectd"], "did you mean rejected?"),
        (["generate", "--events=1", "--seed=1", "--to=kafak"], "--to kafak: did you mean kafka?"),
        (["--fly", "run"],      "unrecognized arguments: --fly"),
        (["doctor", "--fly"],   "unrecognized arguments: --fly"),
        (["doctor", "--js"],    "unrecognized arguments: --js"),
    ],
)  # fmt: skip
def test_bad_usage_ends_with_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad usage is one sentence on standard error and exit code 2."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err


class FakeCommand:
    """A command that does what it is told, and keeps the settings file that it was given."""

    def __init__(self, raises: BaseException | None = None) -> None:
        self._raises = raises
        self.config: object = None
        self.INTERRUPTED = cli.NOTHING_DONE

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--loud", action="store_true")

    def run(self, arguments: argparse.Namespace) -> int:
        self.config = arguments.config
        if self._raises is not None:
            raise self._raises
        return 1 if arguments.loud else 0


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Puts a fake command where `doctor` is."""

    def command(fake: FakeCommand) -> FakeCommand:
        monkeypatch.setitem(sys.modules, "worker.commands.doctor", fake)
        return fake

    return SimpleNamespace(command=command)


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (UsageError("no such topic"),             2,   "ledger-worker: no such topic\n"),
        (DependencyUnavailable("broker is down"), 3,   "ledger-worker: broker is down\n"),
        (BrokenInvariant("debits are not credits"), 70, "ledger-worker: debits are not credits\n"),
        (UsageError("no topic a\x1b[31m\nnor b"), 2, "ledger-worker: no topic a\\x1b[31m\nnor b\n"),
    ],
)  # fmt: skip
def test_failures_are_sentences(
    raised: BaseException,
    code: int,
    says: str,
    install: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a person must act on is one sentence on standard error with its own exit code."""
    install.command(FakeCommand(raised))
    assert main(["doctor"]) == code
    assert capsys.readouterr().err == says


@pytest.mark.parametrize(
    ("leaves", "says"),
    [(None, cli.NOTHING_DONE), ("two files stay; the same command goes on", "two files stay; the")],
)
def test_ctrl_c_says_what_was_done_and_how_to_go_on(
    leaves: str | None, says: str, install: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence on standard error, the command's own where it writes something."""
    fake = install.command(FakeCommand(KeyboardInterrupt()))
    if leaves:
        fake.INTERRUPTED = leaves
    assert main(["doctor"]) == 130
    said = capsys.readouterr().err
    assert said.startswith(f"ledger-worker: interrupted: {says}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["generate", "export", "redrive", "topics", "schemas", "replay", "journal"]
)
def test_what_writes_says_what_ctrl_c_leaves(name: str) -> None:
    """A command that may have written something does not say that nothing was changed."""
    assert "so far" in import_module(f"worker.commands.{name}").INTERRUPTED


def test_an_internal_error_shows_no_content(
    install: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any other exception is named with its place, and its text, which may hold money, is not."""
    install.command(FakeCommand(KeyError("cus_secret")))
    assert main(["doctor"]) == 70
    said = capsys.readouterr().err
    assert "internal error: KeyError at test_cli.py:" in said
    assert "set LEDGER_WORKER_DEBUG=1 to see the traceback" in said
    assert "cus_secret" not in said


def test_debug_shows_the_traceback(
    install: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LEDGER_WORKER_DEBUG=1 shows the traceback of an internal error."""
    monkeypatch.setenv(cli.DEBUG_VARIABLE, "1")
    install.command(FakeCommand(KeyError("cus_1")))
    assert main(["doctor"]) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        (["doctor"],                                           "None"),
        (["--config", "a.toml", "doctor"],                     "a.toml"),
        (["doctor", "--config", "b.toml"],                     "b.toml"),
        (["--config", "a.toml", "doctor", "--config", "b.toml"], "b.toml"),
    ],
)  # fmt: skip
def test_config_before_and_after_the_command(
    arguments: list[str], config: str, install: SimpleNamespace
) -> None:
    """`--config` may stand before or after the command; the last one counts."""
    fake = install.command(FakeCommand())
    assert main(arguments) == 0
    assert str(fake.config) == config


def test_a_commands_exit_code_is_returned(install: SimpleNamespace) -> None:
    """What a command returns is the exit code."""
    install.command(FakeCommand())
    assert main(["doctor", "--loud"]) == 1


def test_a_closed_pipe_is_no_error() -> None:
    """When nobody reads on, the command ends as a shell expects, without a word."""
    program = (
        "import sys, os, types\n"
        "from worker.commands.cli import main\n"
        "def run(arguments): print('x' * 100_000); return 0\n"
        "sys.modules['worker.commands.doctor'] = types.SimpleNamespace(\n"
        "    configure=lambda parser: None, run=run)\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
        "sys.exit(main(['doctor']))\n"
    )
    done = run_python("-c", program)
    assert (done.returncode, done.stderr) == (141, "")
