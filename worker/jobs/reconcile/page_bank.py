"""The bank's part of the page: how much ties, and both balances with what lies between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from worker.jobs.reconcile.grouped import grouped
from worker.jobs.reconcile.summary import BANK_LINES


def bank_part(summary: Mapping[str, Any]) -> Iterator[str]:
    """A table of currencies; nothing where no statement was given."""
    bank = summary["bank"]
    if bank is None:
        return
    yield "<h2>The bank</h2>\n<table>\n<thead><tr><th>currency</th><th>days</th>"
    yield '<th class="n">entries</th><th class="n">tie</th>'
    yield "".join(f'<th class="n">{escape(SHORT[name])}</th>' for name in BANK_LINES)
    yield "</tr></thead>\n"
    for currency, found in bank["currencies"].items():
        yield f"<tr><td>{escape(currency)}</td>"
        yield f"<td>{escape(found['first_day'])} to {escape(found['last_day'])}</td>"
        yield "".join(f'<td class="n">{found[name]:,}</td>' for name in ("entries", "tied"))
        for name in BANK_LINES:
            figure = grouped(found[name]) if name in found else "not said"
            yield f'<td class="n">{figure}</td>'
        yield "</tr>\n"
    yield '</table>\n<p class="quiet">Balances at the end of the period, where every statement'
    yield " has one of that day. Both sides may be"
    yield f" {bank['days']} days apart.</p>\n"


SHORT = {
    "statement_closing": "statement",
    "books_closing": "books",
    "items_between": "items",
    "unexplained": "unexplained",
}
"""The columns, narrow enough for A4."""
