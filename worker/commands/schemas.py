"""`schemas`: is every generation of a schema compatible with every other, and is it registered?

`register` writes nothing that `check` would refuse.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from worker.commands.options import add_json
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.plural import count_of
from worker.jobs.text_tables import BAD, GOOD, Styled, write_result

if TYPE_CHECKING:
    from worker.config.settings import Settings
    from worker.kafka.registry import RegisteredSchema, Registry
    from worker.kafka.schema_rules import SchemaDifference

INTERRUPTED: Final = "what was registered so far stays; the same command registers the rest"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "action",
        choices=("check", "register"),
        help="check: every schema against its history, and the registry when one is set; exit 1"
        " when something differs; register: write them into the registry",
    )
    parser.add_argument(
        "--set-compatibility",
        action="store_true",
        help="register: ask FULL_TRANSITIVE also of subjects that hold something and ask less",
    )
    parser.add_argument("--offline", action="store_true", help="check: not against the registry")
    add_json(parser)


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
        change = arguments.set_compatibility
        return _register(settings, registry, compatibility=change, as_json=arguments.json)
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
        versions = registry.versions(subject)
        yield from _misfits(versions, subject, name)
        yield from _unwritten(settings, versions, subject, name)
        if registry.id_of(subject, schema_text(name)) is None:
            yield SchemaDifference(name, f"is not registered as {subject}")


def _misfits(
    versions: Mapping[int, RegisteredSchema], subject: str, name: str
) -> Iterator[SchemaDifference]:
    """Generations that are of another kind, or that do not read each other."""
    from worker.codecs.writer_schemas import RefusedSchema, parsed_writer  # noqa: PLC0415
    from worker.kafka.schema_rules import SchemaDifference, incompatible, schema_text  # noqa: PLC0415

    for number, schema in versions.items():
        where = f"and version {number} of {subject}"
        if schema.kind != "AVRO":
            yield SchemaDifference(name, f"{where}: that is {schema.kind}, and only Avro is read")
            continue
        try:
            alone = json.dumps(parsed_writer(schema.text, schema.references, defaults=True))
        except RefusedSchema as refused:
            yield SchemaDifference(name, f"{where}: {refused}")
            continue
        for why in incompatible(schema_text(name), alone if schema.references else schema.text):
            yield SchemaDifference(name, f"{where}: {why}")


def _unwritten(
    settings: Settings, versions: Mapping[int, RegisteredSchema], subject: str, name: str
) -> Iterator[SchemaDifference]:
    """Fields that the rulebook reads, that the packaged schema has, and a generation lacks."""
    from worker.codecs.avro import packaged_generations, packaged_schema  # noqa: PLC0415
    from worker.codecs.writer_schemas import (  # noqa: PLC0415 - keeps --help quick
        RefusedSchema,
        field_paths,
        parsed_writer,
        renamed_by_alias,
    )
    from worker.kafka.schema_rules import INPUT_SCHEMAS, SchemaDifference  # noqa: PLC0415
    from worker.rulebooks.load import load  # noqa: PLC0415 - the same
    from worker.rulebooks.read_fields import read_fields  # noqa: PLC0415 - the same

    packaged = packaged_schema(name)
    released = [json.loads(text) for text in packaged_generations(name).values()]
    rulebook = load(settings.rulebook)
    roles = [role for role, schema in INPUT_SCHEMAS.items() if schema == name]
    for number, schema in versions.items():
        try:
            writer = parsed_writer(schema.text, schema.references)
        except RefusedSchema:
            continue  # _misfits says it
        if json.loads(schema.text) in released or writer["name"] != packaged_name(packaged):
            continue
        lacking = field_paths(packaged) - field_paths(renamed_by_alias(writer, packaged))
        for role in roles:
            for path, rules in read_fields(rulebook, role).items():
                if path in lacking:
                    what = f"lacks {'.'.join(path)}, which is read by {', '.join(rules[:5])}"
                    yield SchemaDifference(name, f"and version {number} of {subject}: that {what}")


def packaged_name(schema: Any) -> str:  # noqa: ANN401 - parsed JSON
    """The full name of a parsed record."""
    return str(schema["name"])


def _register(
    settings: Settings, registry: Registry | None, *, compatibility: bool, as_json: bool
) -> int:
    from worker.kafka.schema_rules import schema_text, subjects  # noqa: PLC0415 - the same

    if registry is None:
        raise UsageError("schemas register needs a registry: set schema_registry.url")
    wanted = subjects(settings)
    wrong = [*check_files()]
    registered = {subject: registry.versions(subject) for subject in wanted}
    for subject, name in wanted.items():
        wrong += _misfits(registered[subject], subject, name)
    if wrong:
        lines = "\n".join(f"{each.schema} {each.what}" for each in wrong)
        raise UsageError(f"nothing was registered, because not all of it fits:\n{lines}")
    done: dict[str, Any] = {}
    for subject, name in wanted.items():
        level = _level(registry, subject, change=compatibility or not registered[subject])
        number = registry.register(subject, schema_text(name))
        done[subject] = {"schema": name, "id": number, "compatibility": level}
    shown = (
        f"{subject}: {each['schema']} has the id {each['id']};"
        f" compatibility {each['compatibility']}"
        for subject, each in done.items()
    )
    write_result({"registered": done}, shown, as_json=as_json, indent=2)
    return 0


def _level(registry: Registry, subject: str, *, change: bool) -> str:
    """What a subject asks of new generations, after what may be changed; in words for a person.

    A subject that holds something keeps what it asks, unless --set-compatibility says otherwise.
    Neither reading nor setting it is needed to register: where it is not allowed, that is said.
    """
    from worker.kafka.schema_rules import COMPATIBILITY  # noqa: PLC0415 - the same

    try:
        level = registry.compatibility(subject) or "the registry's own"
        if level == COMPATIBILITY:
            return level
        if not change:
            return f"{level}, left as it is ({COMPATIBILITY} by --set-compatibility)"
        registry.set_compatibility(subject)
    except DependencyUnavailable as error:
        return f"not set to {COMPATIBILITY}: {error}"
    return f"{COMPATIBILITY}, set now; it was {level}"


def _print_check(found: list[SchemaDifference], *, compared: bool, as_json: bool) -> None:
    document = {
        "compatible": not found,
        "registry_compared": compared,
        "differences": [each._asdict() for each in found],
    }
    where = "their history and the registry" if compared else "their history; no registry is set"
    count = f"{count_of(len(found), 'difference')} between the packaged schemas and {where}"
    lines = [f"{each.schema} {each.what}" for each in found]
    total = Styled(count, BAD if found else GOOD)
    write_result(document, [*lines, total], as_json=as_json, indent=2)
