"""`schemas`: is every generation of a schema compatible with every other, and is it registered?

`register` writes nothing that `check` would refuse.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from worker.core.errors import UsageError
from worker.core.plural import count_of
from worker.jobs.text_tables import BAD, GOOD, Styled, write_document, write_lines

if TYPE_CHECKING:
    from worker.config.settings import Settings
    from worker.kafka.registry import Registry
    from worker.kafka.schema_rules import SchemaDifference

INTERRUPTED: Final = "what was registered so far stays; the same command registers the rest"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "action",
        choices=("check", "register"),
        help="check: every schema against its history, and the registry when one is set; exit 1"
        " when something differs; register: write them into the registry",
    )
    parser.add_argument("--offline", action="store_true", help="check: not against the registry")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check or register."""
    from worker.config.settings import load_settings  # noqa: PLC0415 - keeps --help quick
    from worker.kafka.registry import open_registry  # noqa: PLC0415 - the same
    from worker.kafka.schema_rules import require_checker  # noqa: PLC0415 - the same

    settings = load_settings(arguments.config)
    require_checker()
    registry = None
    if not arguments.offline:
        registry = open_registry(settings, ask_seconds_max=settings.ledger.deadline_seconds)
    if arguments.action == "register":
        return _register(settings, registry, as_json=arguments.json)
    found = [*check_files(), *check_registry(settings, registry)]
    _print_check(found, compared=registry is not None, as_json=arguments.json)
    return 1 if found else 0


def check_files() -> Iterator[SchemaDifference]:
    """What is wrong with the packaged schemas by themselves."""
    from worker.codecs.avro import packaged_names  # noqa: PLC0415 - keeps --help quick
    from worker.kafka.schema_rules import against_history, undocumented  # noqa: PLC0415 - the same

    for name in packaged_names():
        yield from undocumented(name)
        yield from against_history(name)


def check_registry(settings: Settings, registry: Registry | None) -> Iterator[SchemaDifference]:
    """What a registry holds that does not fit, and what it lacks."""
    from worker.kafka.schema_rules import SchemaDifference, schema_text, subjects  # noqa: PLC0415

    if registry is None:
        return
    for subject, name in subjects(settings).items():
        yield from _misfits(registry, subject, name)
        if registry.id_of(subject, schema_text(name)) is None:
            yield SchemaDifference(name, f"is not registered as {subject}")


def _misfits(registry: Registry, subject: str, name: str) -> Iterator[SchemaDifference]:
    from worker.kafka.schema_rules import SchemaDifference, incompatible, schema_text  # noqa: PLC0415

    for number, text in registry.versions(subject).items():
        for why in incompatible(schema_text(name), text):
            yield SchemaDifference(name, f"and version {number} of {subject}: {why}")


def _register(settings: Settings, registry: Registry | None, *, as_json: bool) -> int:
    from worker.kafka.schema_rules import schema_text, subjects  # noqa: PLC0415 - the same

    if registry is None:
        raise UsageError("schemas register needs a registry: set schema_registry.url")
    wanted = subjects(settings)
    wrong = [*check_files()]
    for subject, name in wanted.items():
        wrong += _misfits(registry, subject, name)
    if wrong:
        lines = "\n".join(f"{each.schema} {each.what}" for each in wrong)
        raise UsageError(f"nothing was registered, because not all of it fits:\n{lines}")
    done: dict[str, Any] = {
        subject: {"schema": name, "id": registry.register(subject, schema_text(name))}
        for subject, name in wanted.items()
    }
    if as_json:
        write_document(sys.stdout, {"registered": done}, indent=2)
        return 0
    write_lines(
        sys.stdout,
        (f"{subject}: {each['schema']} has the id {each['id']}" for subject, each in done.items()),
    )
    return 0


def _print_check(found: list[SchemaDifference], *, compared: bool, as_json: bool) -> None:
    if as_json:
        result = {
            "compatible": not found,
            "registry_compared": compared,
            "differences": [each._asdict() for each in found],
        }
        write_document(sys.stdout, result, indent=2)
        return
    write_lines(sys.stdout, (f"{each.schema} {each.what}" for each in found))
    where = "their history and the registry" if compared else "their history; no registry is set"
    count = f"{count_of(len(found), 'difference')} between the packaged schemas and {where}"
    write_lines(sys.stdout, [Styled(count, BAD if found else GOOD)])
