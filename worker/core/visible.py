r"""Texts from outside as a terminal or a log may have them.

Control characters that come from data are shown (`\x1b`), never sent: a terminal takes them for
orders, and a line end forges a line.
"""

from __future__ import annotations

import re
from typing import Final

FORMULA_STARTS: Final = tuple("=+-@\t\r\n")
"""What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection")."""

_CREDENTIALS: Final = re.compile(r"[^\s,/\"']+@(?=[\w.\[-])")


def visible(text: str) -> str:
    r"""The text with every character that cannot be printed as its escape, as in `\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def without_credentials(text: str) -> str:
    """Addresses, or a sentence that may name some, without the `user:password@` of each."""
    return _CREDENTIALS.sub("", text)


def defused(cell: str) -> str:
    """A cell of a CSV file that no spreadsheet runs: an apostrophe before it says text."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def undefused(cell: str) -> str:
    """What `defused` was given, also where a person took the apostrophe away."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell
