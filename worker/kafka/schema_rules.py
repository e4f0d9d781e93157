"""Which schema belongs on which topic, and whether each generation can read every other.

That is Confluent's FULL_TRANSITIVE: topics are replayed years later, and producers change before
readers do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple

from worker.codecs.avro import packaged_generations
from worker.config.settings import Settings
from worker.core.optional import optional_packages

COMPATIBILITY: Final = "FULL_TRANSITIVE"

INPUT_SCHEMAS: Final[Mapping[str, str]] = {
    "payments": "stripe_payment_event",
    "settlements": "stripe_settlement_event",
    "commands": "wallet_command",
    "treasury": "wallet_command",
}
"""Role of an input topic to packaged schema."""

POSTED_SCHEMA: Final = "posted_transfer"


class SchemaDifference(NamedTuple):
    """Something that must not be, in one sentence."""

    schema: str
    what: str


def schema_text(name: str) -> str:
    """The packaged schema as its file has it."""
    return files("worker").joinpath("schemas", f"{name}.avsc").read_text(encoding="utf-8")


def subjects(settings: Settings) -> dict[str, str]:
    """Registry subject to packaged schema, for the topics in use.

    The subjects are what `schema_registry.subject_names` says: Confluent's TopicName, RecordName or
    TopicRecordName strategy.
    """
    inputs = settings.topics.inputs
    topics = [(inputs[role], name) for role, name in INPUT_SCHEMAS.items() if role in inputs]
    named = [*topics, (settings.topics.outbox, POSTED_SCHEMA)]
    match settings.schema_registry.subject_names:
        case "topic":
            return {f"{topic}-value": name for topic, name in named}
        case "record":
            return {_full_name(name): name for _, name in named}
        case "topic_record":
            return {f"{topic}-{_full_name(name)}": name for topic, name in named}


def _full_name(name: str) -> str:
    schema = json.loads(schema_text(name))
    return f"{schema['namespace']}.{schema['name']}" if "namespace" in schema else schema["name"]


def undocumented(name: str) -> Iterator[SchemaDifference]:
    """Every record and field must say what it is."""
    for path, has_doc in _documented(json.loads(schema_text(name)), name):
        if not has_doc:
            yield SchemaDifference(name, f"{path} has no doc")


def against_history(name: str) -> Iterator[SchemaDifference]:
    """The schema and each of its released generations read each other, and it is the newest."""
    current, released = schema_text(name), packaged_generations(name)
    if not released or json.loads(current) != json.loads(released[max(released)]):
        following = max(released, default=0) + 1
        yield SchemaDifference(name, f"is not released: copy it to history/{name}/{following}.avsc")
    for number, text in released.items():
        for why in incompatible(current, text):
            yield SchemaDifference(name, f"and its generation {number}: {why}")


def incompatible(one: str, other: str) -> list[str]:
    """Why two generations do not read each other; empty when they do."""
    from avro.compatibility import (  # noqa: PLC0415 - only where schemas are compared
        ReaderWriterCompatibilityChecker,
        SchemaCompatibilityType,
    )
    from avro.errors import AvroException  # noqa: PLC0415 - the same
    from avro.schema import parse  # noqa: PLC0415 - the same

    check: Any = ReaderWriterCompatibilityChecker  # it carries no types
    said = []
    for reader, writer in ((one, other), (other, one)):
        try:
            found = check().get_compatibility(parse(reader), parse(writer))
        except (AvroException, RecursionError, ValueError, LookupError, TypeError) as error:
            return [f"it cannot be compared ({type(error).__name__})"]
        if found.compatibility != SchemaCompatibilityType.compatible:
            said.append("; ".join(sorted(map(str, found.messages))))
    return said


def require_checker() -> None:
    """Say what to install where Apache's `avro` is not there."""
    with optional_packages("comparing schemas", extra="registry"):
        import avro.compatibility  # noqa: F401, PLC0415 - only whether it can be imported


def _documented(schema: Any, path: str) -> Iterator[tuple[str, bool]]:  # noqa: ANN401 - JSON
    if isinstance(schema, list):
        for branch in schema:
            yield from _documented(branch, path)
    elif isinstance(schema, dict):
        if schema.get("type") == "record":
            yield path, bool(schema.get("doc"))
        for field in schema.get("fields", ()):
            yield f"{path}.{field['name']}", bool(field.get("doc"))
            yield from _documented(field["type"], f"{path}.{field['name']}")
        for inner in ("items", "values", "type"):
            if isinstance(schema.get(inner), dict | list):
                yield from _documented(schema[inner], path)
