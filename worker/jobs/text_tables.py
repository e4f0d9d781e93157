r"""Results as text for people and as JSON for programs.

Control characters that come from data are shown (`\x1b`), never sent to the terminal.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO

from worker.core.visible import visible

if TYPE_CHECKING:
    from rich.console import Console

PAGE_ROWS: Final = 500
"""Rows of one table on a terminal; then its heading comes again."""

FOLDED_WIDTH: Final = 12
"""Characters of a long text that stay on a line of a narrow terminal, at least."""

GOOD: Final = "green"
BAD: Final = "bold red"
TITLE: Final = "bold"
_NOT_IN_JSON: Final = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON allows in a string as it is, and a terminal takes for an order."""


class Column(NamedTuple):
    """One column of a table.

    field: of the row.
    title: above it; a table without titles has no heading.
    width: in characters, at least; a longer text pushes its line out.
    right: for figures.
    """

    field: str
    title: str
    width: int
    right: bool = False


class Styled(NamedTuple):
    """A line and the style that it has on a terminal: `GOOD`, `BAD`, `TITLE`."""

    text: str
    style: str


def write_lines(out: TextIO, lines: Iterable[str | Styled]) -> None:
    """One line for each."""
    console = _console(out)
    for line in lines:
        text = visible(line.text if isinstance(line, Styled) else line)
        if console and isinstance(line, Styled):
            console.print(text, style=line.style, soft_wrap=True)
        else:
            out.write(f"{text}\n")


def write_table(
    out: TextIO,
    columns: Sequence[Column],
    rows: Iterable[Mapping[str, object]],
    *,
    indent: str = "",
) -> int:
    """A heading and a line per row; how many rows there were."""
    cells = ([visible(str(row[column.field])) for column in columns] for row in rows)
    titles = [column.title for column in columns]
    if console := _console(out):
        return _draw(console, columns, cells, indent)
    if any(titles):
        out.write(indent + _line(columns, titles))
    count = 0
    for texts in cells:
        out.write(indent + _line(columns, texts))
        count += 1
    return count


def _draw(
    console: Console, columns: Sequence[Column], cells: Iterator[list[str]], indent: str
) -> int:
    from rich.padding import Padding  # noqa: PLC0415 - only where something is drawn
    from rich.table import Table  # noqa: PLC0415 - the same

    count = 0
    for page in _pages(cells):
        titled = any(column.title for column in columns)
        table = Table(box=None, show_header=titled, header_style=TITLE, padding=(0, 2, 0, 0))
        least = len(indent) + len("  ") * len(columns)
        for number, column in enumerate(columns):
            longest = max(len(texts[number]) for texts in ([column.title] * len(columns), *page))
            width = longest if column.right else min(longest, FOLDED_WIDTH)
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                min_width=width,
                no_wrap=column.right,
                overflow="fold",
            )
            least += width
        for texts in page:
            table.add_row(*texts)
        # Figures are never cut: where they do not fit, the terminal breaks the lines.
        console.width = max(console.width, least)
        console.print(Padding(table, (0, 0, 0, len(indent))))
        count += len(page)
    return count


def _pages(cells: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    """At least one, so that an empty table has its heading."""
    yield list(islice(cells, PAGE_ROWS))
    while page := list(islice(cells, PAGE_ROWS)):
        yield page


def _console(out: TextIO) -> Console | None:
    """What draws on a terminal; it minds NO_COLOR and the terminal's width. None elsewhere."""
    if not out.isatty():
        return None
    from rich.console import Console  # noqa: PLC0415 - only where something is drawn

    return Console(file=out, highlight=False, markup=False, emoji=False)


def _line(columns: Sequence[Column], texts: Sequence[str]) -> str:
    cells = [
        text.rjust(column.width) if column.right else text.ljust(column.width)
        for column, text in zip(columns, texts, strict=True)
    ]
    return "  ".join(cells).rstrip() + "\n"


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON that a terminal shows as it is."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _NOT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_document(out: TextIO, value: object, *, indent: int | None = None) -> None:
    """A result as one JSON document; without an indent, on one line."""
    out.write(json_text(value, indent=indent) + "\n")


def write_result(
    document: object,
    lines: Iterable[str | Styled],
    *,
    as_json: bool,
    indent: int | None = None,
) -> None:
    """A command's result on stdout: as one JSON document, or as lines."""
    if as_json:
        write_document(sys.stdout, document, indent=indent)
    else:
        write_lines(sys.stdout, lines)


def write_json(
    out: TextIO, about: Mapping[str, Any], name: str, rows: Iterable[Mapping[str, Any]]
) -> None:
    """One JSON object: what `about` holds, then the rows as a list under `name`."""
    comma = ", " if about else ""
    out.write(f"{json_text(dict(about))[:-1]}{comma}{json_text(name)}: [")
    out.writelines(
        ("," if number else "") + "\n  " + json_text(dict(row)) for number, row in enumerate(rows)
    )
    out.write("\n]}\n")
