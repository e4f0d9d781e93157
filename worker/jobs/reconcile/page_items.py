"""The items of the page: one row each, narrow enough for A4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final

from worker.jobs.reconcile.grouped import grouped

ITEMS_MAX: Final = 5000
HEADING: Final = (
    '<h2>Items</h2>\n<div class="wide"><table>\n<thead><tr><th>class</th><th>what</th><th>day</th>'
    '<th>currency</th><th class="n">expected</th><th class="n">actual</th></tr></thead>\n'
)


def item_rows(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The table; the first item of each class can be linked to."""
    yield HEADING
    left_out = 0
    seen: set[str] = set()
    for number, item in enumerate(items):
        if number >= ITEMS_MAX:
            left_out += 1
            continue
        kind = str(item["class"])
        anchor = "" if kind in seen else f' id="{escape(kind)}"'
        seen.add(kind)
        yield f'<tr{anchor} class="differs">' if item["differs"] else f"<tr{anchor}>"
        yield f"<td>{escape(kind.replace('_', ' '))}</td><td>{escape(str(item['detail']))}"
        yield f'<br><span class="ids">{_ids(item)}</span></td>'
        for name in ("day", "currency"):
            yield f'<td class="k">{escape(str(item[name]))}</td>'
        for side in ("expected", "actual"):
            yield f'<td class="n">{grouped(str(item[f"{side}_amount"]))}</td>'
        yield "</tr>\n"
    yield "</table></div>\n"
    if left_out:
        yield f'<p class="bad">{left_out:,} more items: a .csv or .parquet report has all.</p>\n'


def _ids(item: Mapping[str, Any]) -> str:
    """Event, leg, transfer, record and accounts, as far as they are known."""
    words = [str(item[name]) for name in ("event_id", "leg", "transfer_id", "place")]
    for side in ("expected", "actual"):
        debit, credit = item[f"{side}_debit"], item[f"{side}_credit"]
        if debit or credit:
            words.append(f"{side}: {debit or '…'} → {credit or '…'}")
    return "; ".join(escape(word) for word in words if word)
