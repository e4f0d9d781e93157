"""Reads Avro records of nullable primitives from their bytes, at half of fastavro's cost.

The invariant: what it accepts, fastavro accepts with the same values; a contract test compares
them on valid and on mutated records. It is stricter in three places, where fastavro would guess:
a union's branch must be 0 or 1, a boolean's byte 0 or 1, a number must fit 64 bits. Schemas with
anything else than its few types are left to fastavro. No I/O.

The loop in `_record_reader` is flat because it runs for every field of every event; the benchmark
of the whole worker guards it.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

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
SECOND_BRANCH: Final = 2
"""Branch 1 of a union, as Avro's zigzag writes it."""
BOOLEANS: Final = (False, True)
DOUBLE: Final = Struct("<d")

STRING, LONG, BOOLEAN, OTHER = range(4)
KINDS: Final = {"string": STRING, "long": LONG, "int": LONG, "boolean": BOOLEAN}


class Unsupported(Exception):
    """The schema has a type that this module does not read."""


Field = tuple[str, bool, int, Reader]
"""Name, nullable, kind, reader; a plain tuple, which unpacks quicker than a named one."""


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
            reader = _record_reader([_field(each, named) for each in schema["fields"]])
            named[schema["name"]] = reader
            return reader
        case "array":
            return _array_reader(_reader(schema["items"], named))
        case "map":
            return _map_reader(_reader(schema["values"], named))
        case other:
            return _reader(other, named)


def _field(field: Any, named: dict[str, Reader]) -> Field:  # noqa: ANN401 - parsed JSON
    schema = field["type"]
    nullable = isinstance(schema, list)
    if nullable:
        if len(schema) != 2 or schema[0] != "null":  # noqa: PLR2004 - null and one more
            raise Unsupported("a union of other than null and one type")
        schema = schema[1]
    kind = KINDS.get(schema, OTHER) if isinstance(schema, str) else OTHER
    return field["name"], nullable, kind, _reader(schema, named)


def _record_reader(fields: list[Field]) -> Reader:
    def read_record(body: bytes, at: int) -> Cursor:
        record: dict[str, Any] = {}
        for name, nullable, kind, read in fields:
            if nullable:
                branch = body[at]
                at += 1
                if branch == 0:
                    record[name] = None
                    continue
                if branch != SECOND_BRANCH:
                    raise ValueError("no such branch")
            if kind == STRING:
                size = body[at]
                if size & 0x81:
                    size, at = _size(body, at)
                else:
                    size >>= 1
                    at += 1
                end = at + size
                record[name] = str(body[at:end], "utf-8")
                at = end
            elif kind == LONG:
                raw, at = _raw(body, at)
                record[name] = (raw >> 1) ^ -(raw & 1)
            elif kind == BOOLEAN:
                record[name] = BOOLEANS[body[at]]
                at += 1
            else:
                record[name], at = read(body, at)
        return record, at

    return read_record


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
    raw, at = _raw(body, at)
    return (raw >> 1) ^ -(raw & 1), at


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
