"""What a controller signs: per currency the opening, what happened by class, and the closing.

The invariant: closing less opening is what moved within the range, read from the same transfers
that were compared; amounts are shown in major units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from worker.core.errors import UsageError
from worker.core.money import major_units
from worker.core.rulebook import Rulebook
from worker.jobs.duckdb_rows import Database
from worker.jobs.reconcile.expected import CLEARING
from worker.jobs.reconcile.stripe_report import minor_units
from worker.jobs.reports.trial_balance import TrialBalance

CLASSES: Final[Mapping[str, str]] = {
    "matched": "the ledger holds what the event asks for",
    "missing_in_ledger": "asked for or announced, and not in the ledger",
    "not_in_any_topic": "in the ledger, and no event explains it",
    "amount_mismatch": "another amount",
    "account_mismatch": "other accounts",
    "currency_mismatch": "another currency",
    "fee_mismatch": "another fee",
    "duplicate": "told, posted or announced more than once",
    "not_announced": "an outcome that no topic tells",
    "announcement_mismatch": "announced otherwise than the ledger holds it",
    "unreadable": "a record of a topic of ours that cannot be read",
    "missing_in_report": "Stripe's report lacks it",
    "rejected": "the ledger refused it",
    "parked": "waits for its predecessor",
    "dead": "could not be posted, kept with its reason",
    "in_transit": "not finished yet",
}
"""Every class, in the order in which they are shown."""

COUNTED: Final = """
SELECT cu.currency, 'matched', count(*), CAST(sum(c.held_amount) AS VARCHAR), false
FROM compared c JOIN currencies cu ON cu.ledger = c.ledger
WHERE c.verdict = 'matched' GROUP BY cu.currency
UNION ALL
SELECT coalesce(currency, ''), class, count(*),
  CAST(sum(coalesce(expected_amount, actual_amount, 0)) AS VARCHAR), bool_or(differs)
FROM items GROUP BY coalesce(currency, ''), class
"""


def summarize(
    database: Database,
    rulebook: Rulebook,
    trial: TrialBalance,
    clearing: Mapping[int, list[int]],
    stripe: Mapping[str, int],
) -> dict[str, Any]:
    """The summary.

    clearing: movements within and after the range, by ledger. stripe: Stripe's own balance by
    currency in minor units, where it was given.
    """
    currencies: dict[str, dict[str, Any]] = {}
    for currency, kind, count, amount, _ in database.execute(COUNTED).fetchall():
        entry = currencies.setdefault(currency, {"classes": {}})
        scale = _scale(rulebook, currency)
        entry["classes"][kind] = {"items": count, "amount": major_units(int(amount), scale)}
    for currency, entry in currencies.items():
        found = entry["classes"]
        entry["classes"] = {one: found[one] for one in CLASSES if one in found}
        if currency:
            own = stripe.get(currency)
            entry.update(_clearing(rulebook, trial, clearing, currency, own))
    differing = database.execute(
        "SELECT class, count(*) FROM items WHERE differs GROUP BY class"
    ).fetchall()
    days = database.execute(
        "SELECT strftime(make_timestamp(time_ms * 1000), '%Y-%m-%d') AS day, count(*) FROM items"
        " WHERE differs AND time_ms IS NOT NULL GROUP BY day ORDER BY day"
    ).fetchall()
    off = sum(
        entry.get("stripe_difference", "0").strip("-0.") != "" for entry in currencies.values()
    )
    return {
        "differences": sum(count for _, count in differing) + off,
        "differences_by_class": {one: n for one in CLASSES for name, n in differing if name == one},
        "differences_by_day": dict(days),
        "currencies": dict(sorted(currencies.items())),
    }


def _scale(rulebook: Rulebook, currency: str) -> int:
    declared = rulebook.ledgers.get(currency)
    return declared.scale if declared else 0


def _clearing(
    rulebook: Rulebook,
    trial: TrialBalance,
    moved: Mapping[int, list[int]],
    currency: str,
    stripe: int | None,
) -> dict[str, str]:
    """Stripe's clearing account in one currency: debits less credits, what Stripe owes us."""
    ledger, scale = rulebook.ledgers[currency].ledger, rulebook.ledgers[currency].scale
    total = trial.totals.get((CLEARING, ledger))
    now = total.debits - total.credits if total else 0
    within, after = moved.get(ledger, (0, 0))
    closing = now - after
    told = {
        "clearing_opening": major_units(closing - within, scale),
        "clearing_moved": major_units(within, scale),
        "clearing_closing": major_units(closing, scale),
    }
    if stripe is not None:
        told["stripe_balance"] = major_units(stripe, scale)
        told["stripe_difference"] = major_units(closing - stripe, scale)
    return told


def stripe_balances(given: list[str], rulebook: Rulebook) -> dict[str, int]:
    """`usd=1234.56` as minor units by currency.

    Raises:
        UsageError: one is no amount of a currency that the rulebook knows.
    """
    found = {}
    for one in given:
        currency, _, amount = one.partition("=")
        declared = rulebook.ledgers.get(currency.lower())
        value = minor_units(amount, declared.scale) if declared else None
        if value is None:
            raise UsageError(f"--stripe-balance {one!r} is not like usd=1234.56")
        found[currency.lower()] = value
    return found
