"""Reads Avro records of nullable primitives from their bytes, at a quarter of fastavro's cost.

The invariant: what it accepts, fastavro accepts with the same values; a contract test compares
them on valid and on mutated records. It is stricter in three places, where fastavro would guess:
a union's branch must be 0 or 1, a boolean's byte 0 or 1, a number must fit 64 bits. Schemas with
anything else than its few types are left to fastavro. No I/O.

A record's schema becomes one straight Python function, made once when the schema is met: no loop
over fields, no call for a short string. Only the pieces of text in this module are ever compiled;
the names that a schema gives stand in it as quoted literals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from textwrap import indent
from typing import Any, Final, NamedTuple

Cursor = tuple[Any, int]
Reader = Callable[[bytes, int], Cursor]
"""Takes bytes and a position, gives the value and the position after it.

Raises ValueError or IndexError for bytes that are not of the schema. A string or double that is
cut short gives a position past the end, which the caller must refuse.
"""

MORE: Final = 0x80
"""The bit that says that a number goes on in the next byte."""
SHIFTS: Final = range(7, 70, 7)
"""Where a number's second to tenth byte goes."""
LONG_RAW_MAX: Final = (1 << 64) - 1
BOOLEANS: Final = (False, True)
DOUBLE: Final = Struct("<d")

TIME_BYTES: Final = 5
"""How long a time in seconds is, from 1974 to 2514: most numbers of this length are times."""
TIMES_MAX: Final = 4_096
_times: Final[dict[bytes, int]] = {}
"""Numbers by their five bytes: neighbours in a topic were made in the same seconds."""

NULLS_TOGETHER: Final = 4
"""So many nullable fields are looked at together first: most of an event's fields are null."""

READ: Final = {
    "string": """\
size = body[at]
if size & 0x81:
    size, at = read_size(body, at)
else:
    size >>= 1
    at += 1
end = at + size
record[{name}] = body[at:end].decode()
at = end
""",
    "long": """\
raw = body[at]
if raw < 0x80:
    record[{name}] = (raw >> 1) ^ -(raw & 1)
    at += 1
else:
    known = times.get(body[at:at + 5])
    if known is None:
        record[{name}], at = read_long(body, at)
    else:
        record[{name}] = known
        at += 5
""",
    "boolean": """\
record[{name}] = booleans[body[at]]
at += 1
""",
    "other": """\
record[{name}], at = read{n}(body, at)
""",
}
"""How a field's value is read, by kind: `n` is its number in the record, `name` a literal."""

NULLABLE: Final = """\
branch = body[at]
at += 1
if branch == 2:
{value}elif branch:
    raise ValueError("no such branch")
"""
"""Branch 1 of a union is 2, as Avro's zigzag writes it; a null stays as the new record has it."""

NULLABLES: Final = """\
if body[at:at + {count}] == {zeros}:
    at += {count}
else:
{values}"""

RECORD: Final = """\
def read_record(body, at):
    record = nulls.copy()
{fields}    return record, at
"""


class Unsupported(Exception):
    """The schema has a type that this module does not read."""


class Field(NamedTuple):
    """One field of a record. source: reads its value, unless it is null."""

    number: int
    name: str
    nullable: bool
    source: str
    read: Reader


def fast_reader(schema: Any) -> Reader:  # noqa: ANN401 - parsed JSON
    """A reader for a record's schema, as fastavro parsed it; Unsupported when it is not simple."""
    return _reader(schema, {})


def _reader(schema: Any, named: dict[str, Reader]) -> Reader:  # noqa: ANN401 - parsed JSON
    if isinstance(schema, str):
        known = PRIMITIVES.get(schema) or named.get(schema)
        if known is None:
            raise Unsupported(schema)
        return known
    if not isinstance(schema, dict) or "logicalType" in schema:
        raise Unsupported(str(type(schema)))
    match schema["type"]:
        case "record":
            fields = [_field(number, each, named) for number, each in enumerate(schema["fields"])]
            reader = _record_reader(fields)
            named[schema["name"]] = reader
            return reader
        case "array":
            return _array_reader(_reader(schema["items"], named))
        case "map":
            return _map_reader(_reader(schema["values"], named))
        case other:
            return _reader(other, named)


def _field(number: int, field: Any, named: dict[str, Reader]) -> Field:  # noqa: ANN401
    schema = field["type"]
    nullable = isinstance(schema, list)
    if nullable:
        if len(schema) != 2 or schema[0] != "null":  # noqa: PLR2004 - null and one more
            raise Unsupported("a union of other than null and one type")
        schema = schema[1]
    kind = KINDS.get(schema, "other") if isinstance(schema, str) else "other"
    source = READ[kind].format(n=number, name=repr(field["name"]))
    return Field(number, field["name"], nullable, source, _reader(schema, named))


KINDS: Final = {"string": "string", "long": "long", "int": "long", "boolean": "boolean"}


def _record_reader(fields: list[Field]) -> Reader:
    """One function for the whole record, compiled from the pieces above."""
    source = RECORD.format(fields=indent("".join(_sources(fields)), " " * 4))
    names: dict[str, Any] = {
        "nulls": dict.fromkeys(field.name for field in fields),
        "booleans": BOOLEANS,
        "times": _times,
        "read_size": _size,
        "read_long": _read_long,
    }
    for field in fields:
        names[f"read{field.number}"] = field.read
    exec(compile(source, "<a record's reader>", "exec"), names)  # noqa: S102 - text of this module
    made: Reader = names["read_record"]
    return made


def _sources(fields: list[Field]) -> Iterator[str]:
    """The fields in order; nullable neighbours in bunches."""
    bunch: list[str] = []
    for field in fields:
        if not field.nullable:
            yield from _bunched(bunch)
            bunch = []
            yield field.source
            continue
        bunch.append(NULLABLE.format(value=indent(field.source, " " * 4)))
        if len(bunch) == NULLS_TOGETHER:
            yield from _bunched(bunch)
            bunch = []
    yield from _bunched(bunch)


def _bunched(bunch: list[str]) -> Iterator[str]:
    if len(bunch) > 1:
        values = indent("".join(bunch), " " * 4)
        yield NULLABLES.format(count=len(bunch), zeros=repr(bytes(len(bunch))), values=values)
    else:
        yield from bunch


def _raw(body: bytes, at: int) -> tuple[int, int]:
    """A variable-length number before its zigzag is undone, and the position after it."""
    raw = body[at]
    at += 1
    if raw < MORE:
        return raw, at
    raw &= MORE - 1
    for shift in SHIFTS:
        byte = body[at]
        at += 1
        if byte < MORE:
            raw |= byte << shift
            if raw > LONG_RAW_MAX:
                break
            return raw, at
        raw |= (byte & MORE - 1) << shift
    raise ValueError("a number of more than 64 bits")


def _size(body: bytes, at: int) -> tuple[int, int]:
    raw, at = _raw(body, at)
    if raw & 1:
        raise ValueError("a negative size")
    return raw >> 1, at


def _read_long(body: bytes, at: int) -> Cursor:
    raw, end = _raw(body, at)
    number = (raw >> 1) ^ -(raw & 1)
    if end - at == TIME_BYTES:
        if len(_times) >= TIMES_MAX:
            _times.clear()
        _times[body[at:end]] = number
    return number, end


def _read_string(body: bytes, at: int) -> Cursor:
    size, at = _size(body, at)
    return str(body[at : at + size], "utf-8"), at + size


def _read_boolean(body: bytes, at: int) -> Cursor:
    return BOOLEANS[body[at]], at + 1


def _read_double(body: bytes, at: int) -> Cursor:
    eight = body[at : at + 8]
    if len(eight) < DOUBLE.size:
        raise IndexError("a double that is cut short")
    return DOUBLE.unpack(eight)[0], at + 8


PRIMITIVES: Final[dict[str, Reader]] = {
    "string": _read_string,
    "long": _read_long,
    "int": _read_long,
    "boolean": _read_boolean,
    "double": _read_double,
}


def _array_reader(read: Reader) -> Reader:
    def read_array(body: bytes, at: int) -> Cursor:
        items = []
        count, at = _block(body, at)
        while count:
            for _ in range(count):
                item, at = read(body, at)
                items.append(item)
            count, at = _block(body, at)
        return items, at

    return read_array


def _map_reader(read: Reader) -> Reader:
    def read_map(body: bytes, at: int) -> Cursor:
        entries = {}
        count, at = _block(body, at)
        while count:
            for _ in range(count):
                key, at = _read_string(body, at)
                entries[key], at = read(body, at)
            count, at = _block(body, at)
        return entries, at

    return read_map


def _block(body: bytes, at: int) -> tuple[int, int]:
    """How many items a block has; a negative count is followed by the block's size in bytes."""
    count, at = _read_long(body, at)
    if count < 0:
        _, at = _read_long(body, at)
    return abs(count), at
