"""Rows as text for a terminal, and as one JSON document, without holding them all.

The invariant: a row is written when it comes. Imports the standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TextIO


class Column(NamedTuple):
    """One column. width: the least; a longer text pushes its line out. right: for figures."""

    field: str
    title: str
    width: int
    right: bool = False


def write_table(
    out: TextIO, columns: Sequence[Column], rows: Iterable[Mapping[str, object]]
) -> int:
    """A heading and a line per row; how many rows there were."""
    out.write(_line(columns, [column.title for column in columns]))
    count = 0
    for row in rows:
        out.write(_line(columns, [str(row[column.field]) for column in columns]))
        count += 1
    return count


def _line(columns: Sequence[Column], texts: Sequence[str]) -> str:
    cells = [
        text.rjust(column.width) if column.right else text.ljust(column.width)
        for column, text in zip(columns, texts, strict=True)
    ]
    return "  ".join(cells).rstrip() + "\n"


def write_json(
    out: TextIO, about: Mapping[str, Any], name: str, rows: Iterable[Mapping[str, Any]]
) -> None:
    """One object: what `about` holds, then the rows as a list under `name`."""
    head = json.dumps(dict(about), ensure_ascii=False)
    comma = ", " if about else ""
    out.write(f"{head[:-1]}{comma}{json.dumps(name)}: [")
    out.writelines(
        ("," if number else "") + "\n  " + json.dumps(dict(row), ensure_ascii=False)
        for number, row in enumerate(rows)
    )
    out.write("\n]}\n")
