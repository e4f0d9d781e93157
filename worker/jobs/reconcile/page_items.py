"""The items of the page: one row each, narrow enough for A4, the first of every class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Any, Final

from worker.jobs.reconcile.grouped import grouped

CLASS_ITEMS_MAX: Final = 100
"""Items of one class that the page shows: more than that nobody reads on paper."""

HEADING: Final = (
    '<h2>Items</h2>\n<div class="wide"><table>\n<colgroup><col style="width:11%">'
    '<col style="width:50%"><col style="width:10%"><col style="width:5%"><col style="width:12%">'
    '<col style="width:12%"></colgroup>\n<thead><tr><th>class</th><th>what</th><th>day</th>'
    '<th>ccy</th><th class="n">expected</th><th class="n">actual</th></tr></thead>\n'
)
NO_EVENT: Final = frozenset({"account", "bank statement", "balance.summary"})
"""What an item is about whose `event_id` is no event and no object of Stripe's."""

_RECORD: Final = re.compile(r"[^\s@]+/\d+@\d+")


def item_rows(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The table, class by class; the first item of each can be linked to."""
    yield HEADING
    seen: set[str] = set()
    for (differs, kind), group in groupby(items, lambda item: (item["differs"], item["class"])):
        left_out = 0
        for number, item in enumerate(group):
            if number >= CLASS_ITEMS_MAX:
                left_out += 1
                continue
            anchor = "" if kind in seen else f' id="{escape(kind)}"'
            seen.add(kind)
            yield f'<tr{anchor} class="differs">' if differs else f"<tr{anchor}>"
            yield from _cells(item)
        if left_out:
            words = escape(kind.replace("_", " "))
            yield f'<tr><td colspan="6" class="bad">{left_out:,} more items, {words}: the .csv,'
            yield " .parquet and .json reports have all</td></tr>\n"
    yield "</table></div>\n"


def _cells(item: Mapping[str, Any]) -> Iterator[str]:
    kind = str(item["class"]).replace("_", " ")
    yield f"<td>{escape(kind)}</td><td>{escape(str(item['detail']))}"
    yield f'<br><span class="ids">{_ids(item)}</span>'
    if traced := trace_of(item):
        yield f"<br><code>ledger-worker trace {escape(traced)}</code>"
    yield "</td>"
    for name in ("day", "currency"):
        yield f'<td class="k">{escape(str(item[name]))}</td>'
    for side in ("expected", "actual"):
        yield f'<td class="n">{grouped(str(item[f"{side}_amount"]))}</td>'
    yield "</tr>\n"


def trace_of(item: Mapping[str, Any]) -> str:
    """What `ledger-worker trace` takes for an item: an event or object, a transfer, or a record."""
    event, transfer, record = (str(item[name]) for name in ("event_id", "transfer_id", "position"))
    if event and item["event_type"] not in NO_EVENT and not re.search(r"\s", event):
        return event
    if re.fullmatch("[0-9a-f]{32}", transfer):
        return transfer
    found = _RECORD.match(record)
    return found[0] if found and item["event_type"] not in NO_EVENT else ""


def _ids(item: Mapping[str, Any]) -> str:
    """Event, leg, transfer, record and accounts, as far as they are known."""
    words = [str(item[name]) for name in ("event_id", "leg", "transfer_id", "position")]
    for side in ("expected", "actual"):
        debit, credit = item[f"{side}_debit"], item[f"{side}_credit"]
        if debit or credit:
            words.append(f"{side}: {debit or '…'} → {credit or '…'}")
    return "; ".join(escape(word) for word in words if word)
