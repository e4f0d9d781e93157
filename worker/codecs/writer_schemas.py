"""Readers for what others wrote: any Avro schema of a registry, read for the rules' sake.

Another generation of a packaged schema (the same full name) is resolved to it, field by field.
What the writer's schema lacks is missing in the event, as it would be in JSON, and not null: a rule
that reads it makes a dead letter of the event instead of booking something else. A field that was
renamed is found by its alias. Any other schema is read as it was written. Logical types come as
what they are made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import orjson
from fastavro import parse_schema
from fastavro.schema import SchemaParseException, to_parsing_canonical_form
from fastavro.types import Schema

from worker.codecs.avro import (
    AvroUnreadable,
    BodyReader,
    FastavroReader,
    body_reader,
    packaged_names,
    packaged_schema,
)

DEPTH_MAX: Final = 128
"""How deep a schema may nest: readers and parsers follow it by recursion."""

PARTS_MAX: Final = 10_000
"""How many types a record may have when every reference is written out."""

_PARSE_ERRORS: Final = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RecursionError,
    SchemaParseException,
)
"""What fastavro and the walks below raise on JSON that is not of a schema's form."""
_PRIMITIVE_BYTES: Final = {"null": 0, "float": 4, "double": 8}


class RefusedSchema(Exception):
    """A schema that is not read, and why; the message names no field's value.

    texts: the schema where it is a text or bytes, which may hold an event; else None.
    """

    def __init__(self, why: str, texts: Any = None) -> None:  # noqa: ANN401 - parsed JSON
        super().__init__(why)
        self.texts = texts


class RefusedBodies(BodyReader):
    """Reads nothing of a schema that is refused."""

    def __init__(self, why: str) -> None:
        self.why = why

    def read(self, value: bytes) -> Any:  # noqa: ANN401, ARG002 - never returns
        """Raise AvroUnreadable with the reason."""
        raise AvroUnreadable(self.why)


class TextBodies(RefusedBodies):
    """Reads the text or bytes that are all that a schema has: no event, but it may hold one."""

    def __init__(self, why: str, schema: Any) -> None:  # noqa: ANN401 - parsed JSON
        super().__init__(why)
        self._texts = body_reader(schema)

    def read_text(self, value: bytes) -> Any:  # noqa: ANN401 - a text or bytes
        """The text."""
        return self._texts.read(value)


def event_reader(text: str, references: Sequence[str] = ()) -> BodyReader:
    """A reader for events that were written with this schema.

    references: the schemas that it refers to, each after those that it needs itself.
    """
    try:
        return _reader(parsed_writer(text, references))
    except RefusedSchema as refused:
        if refused.texts is not None:
            return TextBodies(str(refused), refused.texts)
        return RefusedBodies(str(refused))
    except _PARSE_ERRORS as error:
        return RefusedBodies(_no_schema(error))


def parsed_writer(
    text: str, references: Sequence[str] = (), *, defaults: bool = False
) -> dict[str, Any]:
    """A registered schema as one record without logical types or references to other texts.

    defaults: keep those of fields. A reader needs no writer's, and other libraries than ours let
        wrong ones pass.

    Raises:
        RefusedSchema: it is no Avro schema, no record, recursive, or larger than is read.
    """
    named: dict[str, Any] = {}
    try:
        for each in references:
            parse_schema(_loaded(each, defaults), named_schemas=named)
        writer = parse_schema(_loaded(text, defaults), named_schemas=named)
    except _PARSE_ERRORS as error:
        raise RefusedSchema(_no_schema(error)) from None
    if not isinstance(writer, dict) or writer.get("type") != "record":
        kind = writer if isinstance(writer, str) else "a union"
        kind = str(writer.get("type")) if isinstance(writer, dict) else kind
        texts = writer if _is_text(writer) else None
        raise RefusedSchema(f"the schema is of {kind}, and an event is a record", texts)
    try:
        _measure(writer, named, [])
        return {**_Inlining(named, set()).schema(writer)}
    except _PARSE_ERRORS as error:
        raise RefusedSchema(_no_schema(error)) from None


def _is_text(schema: Any) -> bool:  # noqa: ANN401 - parsed JSON
    """Is it a text or bytes, or nothing but null beside them?"""
    if isinstance(schema, list):
        return all(branch == "null" or _is_text(branch) for branch in schema)
    return (schema.get("type") if isinstance(schema, dict) else schema) in {"string", "bytes"}


def _no_schema(error: Exception) -> str:
    return f"the registered schema is no Avro schema ({type(error).__name__})"


def _loaded(text: str, defaults: bool) -> Any:  # noqa: ANN401, FBT001 - parsed JSON
    left_out = {"logicalType"} if defaults else {"logicalType", "default"}
    return _plain(orjson.loads(text), left_out, 0)


def _plain(schema: Any, left_out: set[str], depth: int) -> Any:  # noqa: ANN401 - parsed JSON
    """The schema without what is left out; one that nests too deep is refused."""
    if depth > DEPTH_MAX:
        raise RefusedSchema(f"the schema nests deeper than {DEPTH_MAX} levels")
    if isinstance(schema, list):
        return [_plain(branch, left_out, depth + 1) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: part for name, part in schema.items() if name not in left_out}
    for name in ("type", "items", "values"):
        if isinstance(plain.get(name), dict | list):
            plain[name] = _plain(plain[name], left_out, depth + 1)
    if isinstance(plain.get("fields"), list):
        plain["fields"] = [_plain(each, left_out, depth + 1) for each in plain["fields"]]
    return plain


class _Measure(NamedTuple):
    """bytes_min: the least that a value takes. parts: types in it, references written out."""

    bytes_min: int
    parts: int


def _measure(schema: Any, named: dict[str, Any], inside: list[str]) -> _Measure:  # noqa: ANN401
    """Refuse what no body bounds: recursion, and lists whose elements take no bytes."""
    found = _measured(schema, named, inside)
    if found.parts > PARTS_MAX:
        raise RefusedSchema(f"the schema has more than {PARTS_MAX} types")
    return found


def _measured(schema: Any, named: dict[str, Any], inside: list[str]) -> _Measure:  # noqa: ANN401
    if isinstance(schema, str):
        return _measured_name(schema, named, inside)
    if isinstance(schema, list):
        branches = [_measure(branch, named, inside) for branch in schema]
        return _Measure(1, 1 + sum(each.parts for each in branches))
    match schema["type"]:
        case "record":
            _check_names(schema["fields"])
            within = [*inside, schema["name"]]
            fields = [_measure(each["type"], named, within) for each in schema["fields"]]
            parts = 1 + sum(each.parts for each in fields)
            return _Measure(sum(each.bytes_min for each in fields), parts)
        case "array" | "map" as kind:
            items = _measure(schema["items" if kind == "array" else "values"], named, inside)
            if not items.bytes_min and kind == "array":
                raise RefusedSchema("the schema has a list whose elements take no bytes")
            return _Measure(1, 1 + items.parts)
        case "fixed" | "enum":
            return _Measure(int(schema.get("size", 1)), 1)
        case other:
            return _measure(other, named, inside)


def _check_names(fields: list[Any]) -> None:
    """Fastavro takes any JSON for the names and aliases of fields."""
    for each in fields:
        names = [each["name"], *each.get("aliases", ())]
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a name that is no text")


def _measured_name(name: str, named: dict[str, Any], inside: list[str]) -> _Measure:
    if name in inside:
        raise RefusedSchema("the schema is recursive, which is not read")
    if len(inside) > DEPTH_MAX:
        raise RefusedSchema(f"the schema nests deeper than {DEPTH_MAX} levels")
    if name in named:
        return _measure(named[name], named, inside)
    return _Measure(_PRIMITIVE_BYTES.get(name, 1), 1)


class _Inlining:
    """Writes each named type out where it is first used, so that a schema stands alone."""

    def __init__(self, named: dict[str, Any], written: set[str]) -> None:
        self._named = named
        self._written = written

    def schema(self, schema: Any) -> Any:  # noqa: ANN401 - parsed JSON
        """The schema, written out."""
        if isinstance(schema, str):
            known = schema in self._named and schema not in self._written
            return self.schema(self._named[schema]) if known else schema
        if isinstance(schema, list):
            return [self.schema(branch) for branch in schema]
        kept = {name: part for name, part in schema.items() if not name.startswith("__")}
        if "name" in kept:
            self._written.add(kept["name"])
        for name in ("items", "values"):
            if name in kept:
                kept[name] = self.schema(kept[name])
        if isinstance(kept["type"], dict | list):
            kept["type"] = self.schema(kept["type"])
        if "fields" in kept:
            kept["fields"] = [
                {**each, "type": self.schema(each["type"])} for each in kept["fields"]
            ]
        return kept


def _reader(writer: dict[str, Any]) -> BodyReader:
    for name in packaged_names():
        packaged = packaged_schema(name)
        if not isinstance(packaged, dict) or packaged["name"] != writer["name"]:
            continue
        if to_parsing_canonical_form(packaged) == to_parsing_canonical_form(writer):
            return body_reader(packaged)
        renamed = renamed_by_alias(writer, packaged)
        reader = common_fields(packaged, renamed)
        return BodyReader(FastavroReader(_parsed(renamed), _parsed(reader)))
    return body_reader(_parsed(writer))


def _parsed(schema: Any) -> Schema:  # noqa: ANN401 - parsed JSON
    return parse_schema(schema, named_schemas={})


def _record(schema: Any) -> Any:  # noqa: ANN401 - parsed JSON
    """The one type of a schema that is not null; itself where there are several."""
    if isinstance(schema, list):
        others = [branch for branch in schema if branch != "null"]
        return _record(others[0]) if len(others) == 1 else schema
    if isinstance(schema, dict) and isinstance(schema["type"], dict | list):
        return _record(schema["type"])
    return schema


def _fields(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - parsed JSON
    return {each["name"]: each for each in schema["fields"]}


def _is(schema: Any, kind: str) -> bool:  # noqa: ANN401 - parsed JSON
    return isinstance(schema, dict) and schema["type"] == kind


def renamed_by_alias(writer: Any, reader: Any) -> Any:  # noqa: ANN401 - parsed JSON
    """The writer's schema with the reader's names for fields that it has under an alias.

    The bytes do not hold names, so they are read alike.
    """
    if isinstance(writer, list):
        return [
            renamed_by_alias(each, reader) if isinstance(each, dict) else each for each in writer
        ]
    target = _record(reader)
    if _is(writer, "array") and _is(target, "array"):
        return {**writer, "items": renamed_by_alias(writer["items"], target["items"])}
    if not (_is(writer, "record") and _is(target, "record")):
        return writer
    own, wanted = _fields(writer), _fields(target)
    fields = []
    for name, each in own.items():
        aliases = [alias for alias in each.get("aliases", ()) if alias in wanted.keys() - own]
        called = aliases[0] if name not in wanted and aliases else name
        kind = each["type"]
        if called in wanted:
            kind = renamed_by_alias(kind, wanted[called]["type"])
        fields.append({**each, "name": called, "type": kind})
    return {**writer, "fields": fields}


def common_fields(reader: Any, writer: Any) -> Any:  # noqa: ANN401 - parsed JSON
    """The reader's schema without the fields that the writer lacks: they are missing then."""
    return _Common(_definitions(reader, {}), set()).schema(reader, writer)


def _definitions(schema: Any, found: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """Every record of a schema by its name."""
    if isinstance(schema, list):
        for branch in schema:
            _definitions(branch, found)
    elif isinstance(schema, dict):
        if schema["type"] == "record":
            found[schema["name"]] = schema
        for each in schema.get("fields", ()):
            _definitions(each["type"], found)
        for inner in ("items", "values", "type"):
            _definitions(schema.get(inner), found)
    return found


class _Common:
    """One walk over reader and writer. written: records of the reader that stand in the result."""

    def __init__(self, definitions: dict[str, Any], written: set[str]) -> None:
        self._definitions = definitions
        self._written = written

    def schema(self, reader: Any, writer: Any) -> Any:  # noqa: ANN401 - parsed JSON
        """What both have, in the reader's terms."""
        if isinstance(reader, list):
            return [self.schema(branch, writer) for branch in reader]
        if isinstance(reader, str):
            if reader not in self._definitions or reader in self._written:
                return reader
            reader = self._definitions[reader]
        target = _record(writer)
        if reader["type"] == "array" and _is(target, "array"):
            return {**reader, "items": self.schema(reader["items"], target["items"])}
        if reader["type"] != "record":
            return reader
        self._written.add(reader["name"])
        if not _is(target, "record"):
            return reader
        theirs = _fields(target)
        fields = [
            {**each, "type": self.schema(each["type"], theirs[each["name"]]["type"])}
            for each in reader["fields"]
            if each["name"] in theirs
        ]
        kept = {name: part for name, part in reader.items() if not name.startswith("__")}
        return {**kept, "fields": fields}


def field_paths(schema: Any) -> set[tuple[str, ...]]:  # noqa: ANN401 - parsed JSON
    """The path of every field of a record, those of lists' elements left out."""
    return set(_paths(schema, _definitions(schema, {}), ()))


def _paths(
    schema: Any,  # noqa: ANN401 - parsed JSON
    definitions: dict[str, Any],
    above: tuple[str, ...],
) -> Iterator[tuple[str, ...]]:
    target = _record(schema)
    if isinstance(target, str):
        target = definitions.get(target)
    if not _is(target, "record"):
        return
    for name, each in _fields(target).items():
        yield (*above, name)
        yield from _paths(each["type"], definitions, (*above, name))
