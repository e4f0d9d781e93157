"""`doctor`: checks every setting and dependency, and says how to mend what is wrong."""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from worker.codecs.avro import body_reader, packaged_names, packaged_schema
from worker.commands.doctor_sample import sample
from worker.commands.options import add_json
from worker.config.sections import EMBEDDED, ROLE_TOPICS
from worker.config.settings import Settings, load_settings
from worker.core.errors import UsageError, WorkerError
from worker.core.optional import optional_packages
from worker.core.plural import count_of
from worker.core.rulebook import Rulebook
from worker.core.translate import ANY_ACCOUNT
from worker.core.visible import without_credentials
from worker.jobs.sync.run import target_problems
from worker.jobs.text_tables import BAD, GOOD, Styled, write_document, write_lines
from worker.kafka.admin import inspect_broker
from worker.kafka.registry import open_registry, schema_ids
from worker.kafka.schema_rules import subjects
from worker.ledger.io_uring import io_uring_refusal
from worker.ledger.open import opened_ledger
from worker.observe.findings import CONFIGURATION, Finding
from worker.rulebooks.load import load
from worker.rulebooks.lock import Lock, approved

_LOCAL: Final = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:|$)")


SAMPLE: Final = 100
"""Records of each input."""

NAME_WIDTH: Final = 30
"""Of the column of names; each finding is printed before the next one is known."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--sample",
        type=int,
        default=SAMPLE,
        metavar="N",
        help="read the newest N records of each input, and say how many would be dead letters and"
        f" why; 0 reads none (default: {SAMPLE})",
    )
    parser.add_argument(
        "--feed",
        action="store_true",
        help="look only at what `feed` needs: Kafka and Stripe, not the ledger",
    )
    add_json(parser, "findings")


def run(arguments: argparse.Namespace) -> int:
    """Print every finding; 0 when all is well, 2 or 3 for what is not."""
    found = examine(arguments.config, arguments.sample, feed_only=arguments.feed)
    return exit_code(print_checks(found, as_json=arguments.json))


def exit_code(checks: list[Finding]) -> int:
    """2 when some configuration is wrong, else 3 when a dependency is not there, else 0."""
    return min((check.exit_code for check in checks if not check.ok), default=0)


def print_checks(checks: Iterable[Finding], *, as_json: bool) -> list[Finding]:
    """The findings on standard output, each as it comes, or at the end as one JSON object."""
    found: list[Finding] = []
    for check in checks:
        found.append(check)
        if not as_json:
            write_lines(sys.stdout, _lines(check))
            sys.stdout.flush()
    if as_json:
        whole = {"ok": all(check.ok for check in found), "checks": [*map(asdict, found)]}
        write_document(sys.stdout, whole, indent=2)
    return found


def _lines(check: Finding) -> Iterator[str | Styled]:
    indent = " " * (NAME_WIDTH + 7)
    state, style = ("ok", GOOD) if check.ok else ("FAIL", BAD)
    first, *more = check.detail.split("\n")
    yield Styled(f"{state:<5} {check.name:<{NAME_WIDTH}} {first}", style)
    yield from (f"{indent}{line}" for line in more)
    if check.advice:
        yield f"{indent}→ {check.advice}"


def examine(config: Path | None, sampled: int = 0, *, feed_only: bool = False) -> Iterator[Finding]:
    """Every finding, the settings first: without them there is nothing else to look at.

    sampled: records of each input to look at. feed_only: leave out what `feed` does not need.
    """
    try:
        settings = load_settings(config)
    except UsageError as error:
        advice = "mend the settings named above; docs/configuration.md lists them all"
        yield Finding(
            "settings", ok=False, detail=str(error), advice=advice, exit_code=CONFIGURATION
        )
        return
    yield Finding("settings", ok=True, detail="understood")
    yield _mode(settings)
    yield from _findings_of(
        "rulebook", lambda: _rulebook(settings), "ledger-worker check says more"
    )
    if feed_only:
        yield from _findings_of(
            "kafka", lambda: _kafka(settings, feed_only=True), "check kafka.bootstrap_servers"
        )
        yield from _findings_of("stripe", lambda: _stripe(settings), "docs/feed.md has every step")
        return
    yield from _findings_of("schemas", lambda: _schemas(settings), "mend schema_registry.ids")
    yield from _findings_of(
        "registry", lambda: _registry(settings), "check schema_registry.url; records in Avro wait"
    )
    yield from _findings_of("kafka", lambda: _kafka(settings), "check kafka.bootstrap_servers")
    if sampled > 0 and not settings.kafka.embedded:
        yield from _findings_of(
            "records", lambda: list(sample(settings, sampled)), "look at what is said of kafka"
        )
    if not settings.ledger.addresses.startswith(EMBEDDED):
        yield _io_uring()
    yield from _findings_of("ledger", lambda: [_ledger(settings)], "check ledger.addresses")
    if settings.sync.dsn:
        yield from _findings_of("balance cache", lambda: [_cache(settings)], "check sync.dsn")
    if settings.feed.api_key:
        yield from _findings_of("stripe", lambda: _stripe(settings), "docs/feed.md has every step")
    yield _http(settings.http.host, settings.http.port)


def _mode(settings: Settings) -> Finding:
    """Is `events.livemode` chosen? Needed off one's own machine: test money looks like live."""
    events = settings.events
    whose = {"": "the platform's own", ANY_ACCOUNT: "of every Stripe account"}
    books = f"the books are {whose.get(events.account, events.account)}"
    if events.livemode != "any" or is_local(settings.kafka.bootstrap_servers):
        return Finding("events", ok=True, detail=f"livemode {events.livemode}; {books}")
    return Finding(
        "events",
        ok=True,
        detail=f"livemode any: test money enters the same books as live money; {books}",
        advice="set LEDGER_WORKER_EVENTS__LIVEMODE to true or to false",
    )


def is_local(servers: str) -> bool:
    """Is every broker the embedded one or on this machine?"""
    return all(
        server == EMBEDDED or _LOCAL.match(server.strip()) for server in servers.lower().split(",")
    )


def _findings_of(name: str, ask: Callable[[], list[Finding]], advice: str) -> list[Finding]:
    """What `ask` finds; its failure is a finding too."""
    try:
        return ask()
    except WorkerError as error:
        return [
            Finding(name, ok=False, detail=str(error), advice=advice, exit_code=error.exit_code)
        ]


def _rulebook(settings: Settings) -> list[Finding]:
    rulebook = load(settings.rulebook)
    lock = approved(settings.rulebook, rulebook, accept_unlocked=True)
    listed = [role for role in rulebook.topics if role not in settings.topics.inputs]
    as_approved = lock is None or lock.digest == rulebook.digest
    checks = [
        Finding(
            "rulebook",
            ok=as_approved,
            detail=f"{settings.rulebook.name}:"
            f" {count_of(len(rulebook.transactions), 'transaction')},"
            f" {count_of(len(rulebook.accounts), 'account')}, digest {rulebook.digest[:12]},"
            f" {_approval(rulebook, lock)}",
            advice=""
            if as_approved
            else "write its lock anew (check --lock); until then `run` wants --accept-unlocked",
            exit_code=CONFIGURATION,
        )
    ]
    open_roles = sorted(settings.topics.inputs.keys() - rulebook.topics.keys())
    if open_roles:
        checks.append(
            Finding(
                "topic roles",
                ok=True,
                detail=f"the rulebook lists no types for {', '.join(open_roles)}:"
                " these topics may carry any event, money included",
                advice=f"name the roles in topics.inputs as the rulebook does: {', '.join(listed)}"
                if listed
                else "list the roles under the rulebook's topics",
            )
        )
    if listed and not open_roles:
        checks.append(_unread(settings, listed))
    return checks


def _approval(rulebook: Rulebook, lock: Lock | None) -> str:
    if lock is None:
        return "no lock beside it"
    changed = "" if lock.digest == rulebook.digest else "changed since it was "
    return f"{changed}approved by {lock.approver}"


def _unread(settings: Settings, roles: list[str]) -> Finding:
    """Roles of the rulebook that no topic has here: not wanted, or forgotten."""
    wanted = {**settings.topics.inputs, **{role: ROLE_TOPICS.get(role, "…") for role in roles}}
    inputs = json.dumps(wanted, ensure_ascii=False, separators=(",", ":"))
    return Finding(
        "topic roles",
        ok=True,
        detail=f"nobody here reads {', '.join(roles)}, which the rulebook lists:"
        " what is sent there is not posted",
        advice=f"if that is not meant, set LEDGER_WORKER_TOPICS__INPUTS to {inputs}",
    )


def _schemas(settings: Settings) -> list[Finding]:
    packaged = packaged_names()
    for name in packaged:
        body_reader(packaged_schema(name))
    unknown = sorted(set(settings.schema_registry.ids.values()) - set(packaged))
    if unknown:
        raise UsageError(
            f"schema_registry.ids names {', '.join(unknown)}; packaged are {', '.join(packaged)}"
        )
    return [Finding("schemas", ok=True, detail=f"{len(packaged)} packaged, all of them parse")]


def _registry(settings: Settings) -> list[Finding]:
    registry = open_registry(settings, ask_seconds_max=settings.ledger.deadline_seconds)
    if registry is None:
        return []
    registered = schema_ids(settings, registry).values()
    missing = sorted(set(subjects(settings).values()) - set(registered))
    advice = "ledger-worker schemas register" if missing else ""
    detail = f"answers; not registered: {', '.join(missing)}" if missing else "answers, holds all"
    return [Finding("registry", ok=True, detail=detail, advice=advice)]


def _kafka(settings: Settings, *, feed_only: bool = False) -> list[Finding]:
    if settings.kafka.embedded:
        return [Finding("kafka", ok=True, detail="the embedded broker: for trying out only")]
    deadline = settings.ledger.deadline_seconds
    return list(inspect_broker(settings, deadline, feed_only=feed_only))


def _ledger(settings: Settings) -> Finding:
    with opened_ledger(settings.ledger) as ledger:
        batch_max = ledger.batch_max
    return Finding(
        "ledger",
        ok=True,
        detail=f"{without_credentials(settings.ledger.addresses)} answers;"
        f" {batch_max} transfers a request"
        f"{_client(settings)}",
    )


def _cache(settings: Settings) -> Finding:
    lacks = target_problems(settings)
    if not lacks:
        return Finding(
            "balance cache", ok=True, detail="PostgreSQL answers, and its tables are right"
        )
    return Finding(
        "balance cache",
        ok=False,
        detail=f"PostgreSQL lacks {', '.join(lack.what for lack in lacks)}",
        advice="ledger-worker sync --create makes what is missing, --sql prints how",
        exit_code=CONFIGURATION,
    )


def _stripe(settings: Settings) -> list[Finding]:
    with optional_packages("feed", extra="feed"):
        from worker.jobs.feed.checks import feed_findings  # noqa: PLC0415 - optional
    return feed_findings(settings)


def _client(settings: Settings) -> str:
    if settings.ledger.addresses.startswith(EMBEDDED):
        return ""
    try:
        return f"; client release {version('tigerbeetle')}"
    except PackageNotFoundError:
        return "; client of unknown release"


def _io_uring() -> Finding:
    """The TigerBeetle client needs io_uring, which many containers forbid."""
    why, mend = io_uring_refusal()
    if why:
        return Finding("io_uring", ok=False, detail=f"not available: {why}", advice=mend)
    return Finding("io_uring", ok=True, detail="available, or not needed on this system")


def _http(host: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return Finding(
            "http port",
            ok=False,
            detail=f"{host}:{port} cannot be listened on ({error.strerror})",
            advice="set LEDGER_WORKER_HTTP__PORT to another port, or to 0 for a free one",
            exit_code=CONFIGURATION,
        )
    return Finding("http port", ok=True, detail=f"{host}:{port} is free" if port else "a free one")
