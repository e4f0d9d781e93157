"""The reconciliation as one self-contained HTML page, with every outside text escaped.

What is signed comes first and fits on A4: period, who and with what, what needs a person, every
account's roll-forward. The items follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final, TextIO

from worker.jobs.reconcile.ages import ages_part
from worker.jobs.reconcile.grouped import grouped
from worker.jobs.reconcile.page_bank import bank_part
from worker.jobs.reconcile.page_items import item_rows
from worker.jobs.reconcile.page_plot import plot
from worker.jobs.reconcile.summary import (
    AGREES,
    BALANCE_LINES,
    BANK_LINES,
    CLASSES,
    period_text,
    verdict,
)

STYLE: Final = """
@page { size: A4; margin: 14mm 12mm; }
:root { color-scheme: light dark; --line: #8886; --bad: #c62828; --good: #2e7d32; }
body { font: 15px/1.45 system-ui, "Liberation Sans", sans-serif; margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
.verdict { font-size: 1.15rem; font-weight: 600; margin: .3rem 0 1rem; }
.bad { color: var(--bad); } .good { color: var(--good); } .quiet { opacity: .75; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .22rem .5rem;
  text-align: left; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; } td.k { white-space: nowrap; }
table.about { width: auto; } table.about th { padding-left: 0; white-space: nowrap; }
.sign { display: flex; gap: 3rem; margin: 2.2rem 0 1.2rem; } .sign div { border-top: 1px solid;
  padding-top: .3rem; flex: 1; }
.wide table { table-layout: fixed; } .wide td, .wide th { font-size: .82rem; }
.wide td.n { white-space: normal; } .wide td:first-child { overflow-wrap: normal; }
.wide .ids { opacity: .75; font-size: .92em; } .wide code { font-size: .88em; }
.differs td:first-child { color: var(--bad); font-weight: 600; }
tr, svg, .sign { break-inside: avoid; } thead { display: table-header-group; }
h2 { break-after: avoid; } svg { max-width: 100%; height: auto; }
svg text { font: 11px system-ui, "Liberation Sans", sans-serif; fill: currentColor; }
@media print { body { font-size: 9pt; margin: 0; max-width: none; padding: 0; }
  a { color: inherit; text-decoration: none; } th, td { padding: .12rem .3rem; } }
"""


def write_page(out: TextIO, summary: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> None:
    """Write the page, item by item."""
    out.write('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n')
    out.write('<meta name="viewport" content="width=device-width, initial-scale=1">\n')
    out.write(f"<title>Reconciliation</title>\n<style>{STYLE}</style>\n</head>\n<body>\n")
    parts = (_head, _person, _accounts, _currencies, _payouts, bank_part, ages_part, _days)
    for part in (*parts, _sources):
        out.writelines(part(summary))
    out.writelines(item_rows(items))
    out.write("</body>\n</html>\n")


def _head(summary: Mapping[str, Any]) -> Iterator[str]:
    said = verdict(summary)
    kind = "bad" if summary["differences"] else "good" if said == AGREES else ""
    yield "<h1>Reconciliation</h1>\n"
    yield f'<p class="verdict {kind}">{said[0].upper()}{said[1:]}</p>\n<table class="about">\n'
    for name, text in _about(summary):
        yield f"<tr><th>{name}</th><td>{escape(text)}</td></tr>\n"
    yield "</table>\n"
    for warning in _warnings(summary):
        yield f'<p class="bad">{escape(warning)}</p>\n'
    yield '<div class="sign"><div>Prepared by, date</div><div>Reviewed by, date</div></div>\n'


def _about(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Period", period_text(summary)
    yield "Times", f"{summary['times_are']} (UTC), whenever they were posted"
    yield "Made", f"{summary['made_at']} by ledger-worker {summary['worker']}"
    if summary["closed_by"]:
        yield "Closed by", str(summary["closed_by"])
    yield "Ledger", f"every transfer posted before {summary['ledger_read_before']}"
    yield "Rulebook", str(summary["rulebook"])
    records = ", ".join(f"{topic} {count:,}" for topic, count in summary["records"].items())
    yield "Records read", records
    if bank := summary["bank"]:
        yield "Bank’s statements", ", ".join(file["file"] for file in bank["files"])
    if summary["stripe_reports"]:
        yield "Stripe’s reports", ", ".join(summary["stripe_reports"])
    if before := summary["period_before"]:
        yield "Period before", _before(before)
    if copied := summary["copy"]:
        differ = f"{copied['accounts_that_differ']:,} differ"
        accounts = f"{copied['accounts']:,} accounts, {differ}"
        yield "Copy", f"{copied['table']} up to {copied['up_to']}: {accounts}"


def _before(before: Mapping[str, Any]) -> str:
    return (
        f"{before['period']}, closed by {before['closed_by']} ({before['digest'][:16]}…);"
        f" {before['items_left_open']:,} items left open, {before['settled_since']:,} settled"
        f" since, {before['resolved']:,} resolved"
    )


def _warnings(summary: Mapping[str, Any]) -> Iterator[str]:
    if not summary["announcements_compared"]:
        yield "No announcements were given: they are not compared."
    if unchecked := summary["not_checked_for_compaction"]:
        yield f"The broker did not say whether these are compacted: {', '.join(unchecked)}."
    if not summary["trial_balance_agrees"]:
        yield "Debits and credits of the ledger differ, or a memo account is not at zero."


def _person(summary: Mapping[str, Any]) -> Iterator[str]:
    """What needs a person: a line for each class, which leads to its items."""
    yield "<h2>What needs a person</h2>\n"
    if not summary["differences"]:
        yield '<p class="quiet">Nothing.</p>\n'
        return
    yield '<table>\n<tr><th class="n">items</th><th>class</th><th>meaning</th></tr>\n'
    for kind, count in summary["differences_by_class"].items():
        yield f'<tr><td class="n">{count:,}</td><td class="k"><a href="#{escape(kind)}">'
        yield f"{escape(_words(kind))}</a></td><td>{escape(CLASSES[kind])}</td></tr>\n"
    for currency, entry in summary["currencies"].items():
        for field in ("settlement_difference", "stripe_difference"):
            if entry.get(field, "0").strip("-0."):
                yield f'<tr><td class="n">1</td><td class="k">{escape(currency)}</td><td>Stripe'
                yield f" clearing: {BALANCE_LINES[field]} {grouped(entry[field])}</td></tr>\n"
    for currency, found in (summary["bank"] or {"currencies": {}})["currencies"].items():
        if found.get("unexplained", "0").strip("-0."):
            yield f'<tr><td class="n">1</td><td class="k">{escape(currency)}</td><td>bank:'
            yield f" {BANK_LINES['unexplained']} {grouped(found['unexplained'])}</td></tr>\n"
    yield "</table>\n"


def _accounts(summary: Mapping[str, Any]) -> Iterator[str]:
    """The roll-forward: debits less credits, so what is owed to others is negative."""
    yield "<h2>Accounts</h2>\n<table>\n<thead><tr><th>account</th><th>currency</th>"
    yield '<th class="n">opening</th><th class="n">matched</th><th class="n">other</th>'
    yield '<th class="n">closing</th></tr></thead>\n'
    for line in summary["accounts"]:
        title = f"{line['code']} {line['title'] or line['account']}"
        yield f'<tr><td>{escape(title)}</td><td class="k">{escape(line["currency"])}</td>'
        for name in ("opening", "matched"):
            yield f'<td class="n">{grouped(line[name])}</td>'
        other = (f"{_words(kind)} {grouped(net)}" for kind, net in line["other"].items())
        yield f'<td class="n">{"<br>".join(map(escape, other))}</td>'
        yield f'<td class="n">{grouped(line["closing"])}</td></tr>\n'
    yield '</table>\n<p class="quiet">Debits less credits. “Other” moved and needs a person.</p>\n'


def _currencies(summary: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>By currency</h2>\n<table>\n<thead><tr><th>currency</th><th>class</th>"
    yield '<th class="n">items</th><th class="n">amount</th><th>meaning</th></tr></thead>\n'
    for currency, entry in summary["currencies"].items():
        name = escape(currency or "none")
        if "clearing_opening" in entry:
            yield _row(name, "opening of Stripe clearing", "", entry["clearing_opening"], "")
        for kind, found in entry["classes"].items():
            yield _row(name, _words(kind), f"{found['items']:,}", found["amount"], CLASSES[kind])
        for field, title in BALANCE_LINES.items():
            if field in entry:
                yield _row(name, title, "", entry[field], "")
    yield "</table>\n"


def _row(currency: str, kind: str, count: str, amount: str, meaning: str) -> str:
    return (
        f'<tr><td>{currency}</td><td>{escape(kind)}</td><td class="n">{count}</td>'
        f'<td class="n">{grouped(amount)}</td><td class="quiet">{escape(meaning)}</td></tr>\n'
    )


def _payouts(summary: Mapping[str, Any]) -> Iterator[str]:
    found = summary["payouts"]
    if found is None:
        return
    yield f"<h2>Stripe’s payouts</h2>\n<p>{found['payouts_that_tie']:,} tie,"
    yield f" {found['payouts_that_do_not']:,} do not.</p>\n<table>\n<thead><tr><th>day</th>"
    yield "<th>payout</th><th>currency</th>"
    yield "".join(f'<th class="n">{name}</th>' for name in PAYOUT_FIGURES)
    yield "<th>ties</th></tr></thead>\n"
    for payout in found["table"]:
        yield f'<tr><td class="k">{escape(payout["day"])}</td><td>{escape(payout["payout"])}</td>'
        yield f"<td>{escape(payout['currency'])}</td>"
        yield "".join(f'<td class="n">{grouped(str(payout[n]))}</td>' for n in PAYOUT_FIGURES)
        yield f"<td>{'yes' if payout['tied'] else '<b class=bad>no</b>'}</td></tr>\n"
    yield "</table>\n"


PAYOUT_FIGURES: Final = ("rows", "gross", "fee", "net", "paid")


def _days(summary: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Differences by day</h2>\n"
    if not summary["differences_by_day"]:
        yield '<p class="quiet">None.</p>\n'
        return
    yield from plot(summary["differences_by_day"])


def _sources(summary: Mapping[str, Any]) -> Iterator[str]:
    """Every partition that was read, with a digest of what was in it."""
    yield "<h2>What was read</h2>\n<table>\n<thead><tr><th>partition</th>"
    yield '<th class="n">offsets</th><th class="n">records</th><th>digest of the values</th></tr>'
    yield "</thead>\n"
    for name, (first, following, records, digest) in summary["read"].items():
        yield f'<tr><td>{escape(name)}</td><td class="n">{first:,} to {following - 1:,}</td>'
        yield f'<td class="n">{records:,}</td><td>{escape(digest)}</td></tr>\n'
    yield "</table>\n"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
