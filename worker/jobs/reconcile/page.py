"""The reconciliation as one self-contained HTML page, with every outside text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final, TextIO

from worker.jobs.reconcile.summary import AGREES, BALANCE_LINES, CLASSES, verdict

ITEMS_MAX: Final = 5000
COLUMNS: Final = (
    "class",
    "detail",
    "day",
    "currency",
    "expected",
    "actual",
    "expected accounts",
    "actual accounts",
    "event",
    "leg",
    "transfer",
    "place",
)
KEPT: Final = frozenset({"class", "day", "currency", "leg"})
"""Columns whose words are never cut."""

FIGURES: Final = frozenset({"expected", "actual"})

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32;
  --bar: #c62828; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 100rem;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.verdict { font-size: 1.15rem; font-weight: 600; } .bad { color: var(--bad); }
.good { color: var(--good); } .quiet { opacity: .7; }
.differs td:first-child { color: var(--bad); font-weight: 600; }
table { border-collapse: collapse; } th, td { padding: .25rem .6rem; text-align: left;
  border-bottom: 1px solid var(--line); vertical-align: top; }
th { position: sticky; top: 0; background: Canvas; } td.n, th.n { text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { overflow-x: auto; }
.wide td { font-size: .82rem; overflow-wrap: anywhere; min-width: 8rem; }
.wide td.n, .wide td.k { overflow-wrap: normal; white-space: nowrap; min-width: 0; }
.wide td:nth-child(2) { min-width: 16rem; overflow-wrap: normal; }
svg { max-width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
.sign { display: flex; gap: 3rem; margin-top: 2.5rem; } .sign div { border-top: 1px solid;
  padding-top: .3rem; min-width: 14rem; }
@media print { th { position: static; } body { margin: 0; max-width: none; } }
"""


def write_page(out: TextIO, summary: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> None:
    """Write the page, item by item."""
    out.write('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n')
    out.write('<meta name="viewport" content="width=device-width, initial-scale=1">\n')
    out.write(f"<title>Reconciliation</title>\n<style>{STYLE}</style>\n</head>\n<body>\n")
    for part in (_head, _currencies, _payouts, _days):
        out.writelines(part(summary))
    out.writelines(_items(items))
    out.write(
        '<div class="sign"><div>Prepared by, date</div><div>Reviewed by, date</div></div>\n'
        "</body>\n</html>\n"
    )


def _head(summary: Mapping[str, Any]) -> Iterator[str]:
    said = verdict(summary)
    kind = "bad" if summary["differences"] else "good" if said == AGREES else ""
    yield "<h1>Reconciliation</h1>\n"
    yield f'<p class="verdict {kind}">{said[0].upper()}{said[1:]}</p>\n'
    span = f"from {summary['from'] or 'the beginning'} to {summary['to'] or 'the end'}"
    yield f"<p>Facts {escape(span)}; ledger as of {escape(summary['ledger_read_before'])}.</p>\n"
    read = ", ".join(f"{escape(topic)} {count:,}" for topic, count in summary["records"].items())
    yield f'<p class="quiet">Records read: {read}. Rulebook {escape(summary["rulebook"])}.</p>\n'
    if not summary["announcements_compared"]:
        yield '<p class="bad">No announcements were given: they are not compared.</p>\n'
    if copied := summary["copy"]:
        differ = copied["accounts_that_differ"]
        yield f'<p class="{"bad" if differ else ""}">Copy {escape(copied["table"])}'
        yield f" up to {escape(copied['up_to'])}: {copied['accounts']:,} accounts,"
        yield f" {differ:,} differ.</p>\n"
    if unchecked := summary["not_checked_for_compaction"]:
        names = escape(", ".join(unchecked))
        yield f'<p class="bad">The broker did not say whether these are compacted: {names}.</p>\n'
    if not summary["trial_balance_agrees"]:
        yield '<p class="bad">Debits and credits of the ledger differ.</p>\n'


def _currencies(summary: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>By currency</h2>\n<table>\n<tr><th>currency</th><th>class</th>"
    yield '<th class="n">items</th><th class="n">amount</th><th>meaning</th></tr>\n'
    for currency, entry in summary["currencies"].items():
        name = escape(currency or "none")
        if "clearing_opening" in entry:
            yield _row(name, "opening of Stripe clearing", "", entry["clearing_opening"], "")
        for kind, found in entry["classes"].items():
            text = kind.replace("_", " ")
            yield _row(name, text, f"{found['items']:,}", found["amount"], CLASSES[kind])
        for field, title in BALANCE_LINES.items():
            if field in entry:
                yield _row(name, title, "", entry[field], "")
    yield "</table>\n"


def _row(currency: str, kind: str, count: str, amount: str, meaning: str) -> str:
    return (
        f'<tr><td>{currency}</td><td>{escape(kind)}</td><td class="n">{count}</td>'
        f'<td class="n">{escape(amount)}</td><td class="quiet">{escape(meaning)}</td></tr>\n'
    )


def _payouts(summary: Mapping[str, Any]) -> Iterator[str]:
    found = summary["payouts"]
    if found is None:
        return
    yield f"<h2>Stripe’s payouts</h2>\n<p>{escape(', '.join(summary['stripe_reports']))}: "
    yield f"{found['payouts_that_tie']:,} tie, {found['payouts_that_do_not']:,} do not.</p>\n"


def _days(summary: Mapping[str, Any]) -> Iterator[str]:
    days = summary["differences_by_day"]
    yield "<h2>Differences by day</h2>\n"
    if not days:
        yield '<p class="quiet">None.</p>\n'
        return
    step, height = 46, 140
    most = max(days.values())
    width = step * len(days) + 20
    yield f'<svg viewBox="0 0 {width} {height + 50}" width="{width}" role="img"'
    yield ' aria-label="Differences by day">\n'
    for number, (day, count) in enumerate(days.items()):
        tall = max(2, count * height // most)
        left = 10 + number * step
        yield f'<rect x="{left}" y="{height + 16 - tall}" width="{step - 14}" height="{tall}"'
        yield f' fill="var(--bar)"><title>{escape(day)}: {count:,}</title></rect>\n'
        yield f'<text x="{left}" y="{height + 11 - tall}">{count:,}</text>\n'
        yield f'<text x="{left}" y="{height + 32}">{escape(day[5:])}</text>\n'
    yield "</svg>\n"


def _items(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield '<h2>Items</h2>\n<div class="wide"><table>\n<tr>'
    yield "".join(f"<th{_kind(name)}>{name}</th>" for name in COLUMNS) + "</tr>\n"
    left_out = 0
    for number, item in enumerate(items):
        if number >= ITEMS_MAX:
            left_out += 1
            continue
        yield '<tr class="differs">' if item["differs"] else "<tr>"
        for name, text in zip(COLUMNS, _cells(item), strict=True):
            yield f"<td{_kind(name)}>{escape(text)}</td>"
        yield "</tr>\n"
    yield "</table></div>\n"
    if left_out:
        yield f'<p class="bad">{left_out:,} more items: a .csv or .parquet report has all.</p>\n'


def _kind(name: str) -> str:
    if name in FIGURES:
        return ' class="n"'
    return ' class="k"' if name in KEPT else ""


def _cells(item: Mapping[str, Any]) -> Iterator[str]:
    """One text for each column; the class in words, a pair of accounts in one."""
    yield str(item["class"]).replace("_", " ")
    first = ("detail", "day", "currency", "expected_amount", "actual_amount")
    yield from (str(item[name]) for name in first)
    for side in ("expected", "actual"):
        debit, credit = item[f"{side}_debit"], item[f"{side}_credit"]
        yield f"{debit or '…'} → {credit or '…'}" if debit or credit else ""
    yield from (str(item[name]) for name in ("event_id", "leg", "transfer_id", "place"))
