"""The roll-forward of every declared account: opening, what moved by class, closing.

Opening and closing are of facts, whenever they were posted: what is posted later about an earlier
fact changes the opening, and shows as `late` where that period is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from worker.core.ids import hex_id
from worker.core.money import major_units
from worker.core.wire import TransferFlags
from worker.jobs.duckdb_rows import Database, columns_sql, stage_rows
from worker.jobs.reports.trial_balance import Totals
from worker.ledger.books import NamedLedger
from worker.ledger.scan import all_accounts

MATCHED: Final = "matched"
NAMES: Final = {"account_id": "VARCHAR", "name": "VARCHAR"}

MOVED: Final = """
WITH classed AS (
  SELECT transfer_id, min(class) AS class FROM items
  WHERE differs AND transfer_id <> '' GROUP BY transfer_id),
moving AS (
  SELECT a.ledger, a.debit, a.credit, a.amount, a.in_range,
    CASE WHEN a.in_transit THEN 'in_transit' ELSE coalesce(c.class, 'matched') END AS class
  FROM actual a LEFT JOIN classed c USING (transfer_id)
  WHERE a.flags & $resting = 0 AND $start_ms <= CAST('0x' || left(a.transfer_id, 12) AS BIGINT)),
entries AS (
  SELECT ledger, debit AS account_id, amount AS net, in_range, class FROM moving
  UNION ALL SELECT ledger, credit, -amount, in_range, class FROM moving)
SELECT n.name, e.ledger, e.in_range, e.class, CAST(sum(e.net) AS VARCHAR), count(*)
FROM entries e JOIN all_accounts n USING (account_id)
GROUP BY n.name, e.ledger, e.in_range, e.class ORDER BY ALL
"""


def stage_account_names(database: Database, books: NamedLedger) -> None:
    """Fill the table `all_accounts`: the declared name of every account of the ledger."""
    database.execute(f"CREATE TABLE all_accounts ({columns_sql(NAMES)})")
    rows = (
        (hex_id(account.id), books.name(account).name) for account in all_accounts(books.ledger)
    )
    stage_rows(database, "all_accounts", NAMES, rows)


Lines = list[dict[str, Any]]
"""Each with `account`, `ledger`, and `opening`, `closing` and `moved` by class: debits less credits
in minor units."""


def roll_forward(database: Database, totals: Totals, *, start_ms: int) -> Lines:
    """A line for each account and currency.

    totals: of the ledger when it was read. start_ms: the first moment of the facts.
    """
    resting = TransferFlags.PENDING | TransferFlags.VOID_PENDING_TRANSFER
    moved: dict[tuple[str, int], dict[str, int]] = {}
    later: dict[tuple[str, int], int] = {}
    found = database.execute(MOVED, {"resting": int(resting), "start_ms": start_ms}).fetchall()
    for name, ledger, in_range, kind, net, _ in found:
        if in_range:
            moved.setdefault((name, ledger), {})[kind] = int(net)
        else:
            later[name, ledger] = later.get((name, ledger), 0) + int(net)
    lines = []
    for (name, ledger), total in totals.items():
        within = moved.get((name, ledger), {})
        closing = total.debits - total.credits - later.get((name, ledger), 0)
        opening = closing - sum(within.values())
        if opening or closing or within:
            line = {"account": name, "ledger": ledger, "opening": opening, "moved": within}
            lines.append(line | {"closing": closing})
    return lines


def shown_lines(lines: Lines, books: NamedLedger) -> list[dict[str, Any]]:
    """For the summary: in the order of currency and code, amounts in major units."""
    codes = {declared.name: declared.code for declared in books.rulebook.accounts.values()}

    def order(line: Mapping[str, Any]) -> tuple[str, int]:
        return books.currency(line["ledger"])[0], codes.get(line["account"], 0)

    shown = []
    for line in sorted(lines, key=order):
        currency, scale = books.currency(line["ledger"])
        declared = books.rulebook.accounts.get(line["account"])
        other = {name: net for name, net in line["moved"].items() if net and name != MATCHED}
        shown.append(
            {
                "account": line["account"],
                "code": declared.code if declared else 0,
                "title": declared.title if declared else "",
                "currency": currency,
                "opening": major_units(line["opening"], scale),
                MATCHED: major_units(line["moved"].get(MATCHED, 0), scale),
                "other": {name: major_units(net, scale) for name, net in other.items()},
                "closing": major_units(line["closing"], scale),
            }
        )
    return shown
