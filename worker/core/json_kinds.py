"""What a decoded value is, in JSON's words, for a person to read: never the value itself."""

from __future__ import annotations

from typing import Final

_KINDS: Final[dict[type, str]] = {
    bool: "a boolean",
    int: "a number",
    float: "a fraction",
    str: "a text",
    list: "a list",
    bytes: "bytes",
}


def kind_of(value: object) -> str:
    """The kind of a value; `missing` for null, `empty` for an empty text."""
    if value is None:
        return "missing"
    if isinstance(value, str) and not value:
        return "empty"
    return _KINDS.get(type(value), "an object")
