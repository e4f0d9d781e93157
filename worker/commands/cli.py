"""The command line: finds the command, runs it, and turns every failure into one sentence.

A command's module is imported only when it is chosen, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Final, NoReturn, Protocol, cast

from worker import __version__
from worker.core.errors import WorkerError

NAME: Final = "ledger-worker"

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "run": "read events from Kafka, post them to the ledger, announce what became of them",
        "demo": "show the whole worker on an embedded broker and ledger, in under a minute",
        "dev": "bring up an embedded broker and ledger, traffic and pages, until Ctrl-C",
        "generate": "make realistic, deterministic Stripe traffic, for Kafka or a file",
        "check": "validate a rulebook and draw its T-accounts",
        "convert": "write a rulebook in YAML from one in ADR-0015's text form",
        "explain": "show the transfers that an event makes, without posting",
        "trace": "say what became of an event, a Stripe object, a command, a transfer or a record",
        "status": "show the group's members and lag, and what is parked, dead or rejected",
        "tail": "follow outcomes as they are announced: rejected, dead, parked, posted",
        "topics": "the declared topics and grants: compare with the broker, make, or render",
        "schemas": "the packaged schemas: check what may change in them, register them",
        "accounts": "list the chart of accounts: code, title, type, normal side",
        "balances": "list what each account holds now",
        "statement": "show one account's transfers, with opening and closing balance",
        "trial-balance": "sum every account per currency, now or at a time, and say whether it"
        " balances",
        "export": "write all accounts and transfers to Parquet or Avro files, with a digest",
        "replay": "say what old records would post, or post it; make a lost ledger or outbox again",
        "redrive": "send chosen dead letters, rejections or parked events through again",
        "journal": "send opening balances and corrections, with two names on each, from a CSV file",
        "feed": "bring Stripe's events into Kafka: webhooks, balance transactions, history",
        "reconcile": "compare events, ledger, announcements and Stripe's report, list what differs",
        "sync": "follow the outbox and keep a balance cache in PostgreSQL",
        "serve": "answer the app over HTTP: live balances, read-only",
        "doctor": "check every dependency and setting, and say what to do",
    }
)
"""Every command and what it does, here because `--help` must not import the commands."""

DEBUG_VARIABLE: Final = "LEDGER_WORKER_DEBUG"
EXIT_USAGE: Final = 2
EXIT_INTERNAL: Final = 70
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141
"""128 + the signal's number, as a shell shows it."""


_NO_CHOICE: Final = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")

NOTHING_DONE: Final = "nothing was changed; the same command can be given again"
"""What Ctrl-C leaves behind, for a command that does not say so itself."""


class Command(Protocol):
    """What a module in `worker.commands` has.

    One that writes something has `INTERRUPTED` as well: what Ctrl-C leaves behind, and how to go
    on. `run`, `sync`, `serve` and `replay --apply` take the first Ctrl-C as an order to finish.
    """

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's options."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it, and return the exit code; `arguments.config` is the settings file or None."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a usage error
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except WorkerError as error:
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the last resort: a person reads one sentence
        _explain_internal(error)
        return EXIT_INTERNAL


def _run(argv: list[str]) -> int:
    parser = _main_parser()
    given = parser.parse_args(argv)
    if given.command is None:
        parser.error(f"a command is missing: {', '.join(COMMANDS)}")
    if given.command not in COMMANDS:
        close = get_close_matches(given.command, COMMANDS, n=1)
        meant = f"did you mean {close[0]}?" if close else f"choose {', '.join(COMMANDS)}"
        parser.error(f"unknown command {given.command!r}: {meant}")
    command = _load(given.command)
    arguments = _command_parser(given.command, command, config=given.config).parse_args(given.rest)
    _log_to_stderr()
    try:
        code = command.run(arguments)
    except KeyboardInterrupt:
        _say(f"interrupted: {getattr(command, 'INTERRUPTED', NOTHING_DONE)}")
        return EXIT_INTERRUPTED
    sys.stdout.flush()  # a closed pipe is noticed here, not after the exit code is chosen
    return code


class _Parser(argparse.ArgumentParser):
    """Says which of the choices may have been meant."""

    def error(self, message: str) -> NoReturn:
        """End with the usage and one sentence."""
        found = _NO_CHOICE.search(message)
        close = get_close_matches(found[1], re.findall(r"[\w-]+", found[2]), n=1) if found else []
        super().error(f"{message}; did you mean {close[0]}?" if close else message)


def _main_parser() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:<13} {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Stripe and wallet events from Kafka become TigerBeetle transfers, announced"
        " exactly once.",
        epilog=f"commands:\n{commands}\n\n{NAME} COMMAND --help says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--config FILE] COMMAND …",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    _add_config(parser, default=None)
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _command_parser(name: str, command: Command, *, config: Path | None) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"{NAME} {name}", description=COMMANDS[name], allow_abbrev=False)
    _add_config(parser, default=config)
    command.configure(parser)
    return parser


def _add_config(parser: argparse.ArgumentParser, *, default: Path | None) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=default,
        help="the settings file (default: ./ledger-worker.toml if there is one)",
    )


def _load(name: str) -> Command:
    return cast("Command", import_module(f"worker.commands.{name.replace('-', '_')}"))


def _log_to_stderr() -> None:
    """Standard output belongs to results; `run` sets logging anew from its settings."""
    from worker.observe.logs import configure_logging  # noqa: PLC0415 - not for --help

    configure_logging(level="warning", format="console")


def _say(message: str) -> None:
    from worker.jobs.text_tables import write_lines  # noqa: PLC0415 - not for --help

    write_lines(sys.stderr, f"{NAME}: {message}".split("\n"))


def _explain_internal(error: Exception) -> None:
    """Type and line only: an exception's text could hold what a customer sent."""
    if os.environ.get(DEBUG_VARIABLE) == "1":
        from worker.jobs.text_tables import write_lines  # noqa: PLC0415 - not for --help

        whole = "".join(traceback.format_exception(error))
        write_lines(sys.stderr, whole.rstrip("\n").split("\n"))
    frames = traceback.extract_tb(error.__traceback__)
    position = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    _say(
        f"internal error: {type(error).__name__}{position};"
        f" set {DEBUG_VARIABLE}=1 to see the traceback"
    )


def _drop_output() -> None:
    """Nobody reads on: without this, Python complains once more when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
