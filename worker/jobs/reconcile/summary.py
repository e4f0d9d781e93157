"""The summary that a controller signs: per currency opening, movements by class, and closing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.core.errors import UsageError
from worker.core.money import major_units
from worker.core.rulebook import Rulebook
from worker.core.wire import TransferFlags
from worker.jobs.duckdb_rows import Database
from worker.jobs.reconcile.bank import BANK_CLASSES
from worker.jobs.reconcile.staging import Moved
from worker.jobs.reconcile.stripe_report import reported_amount
from worker.jobs.reconcile.stripe_side import CLEARING, RESERVE, UNSETTLED
from worker.jobs.reconcile.unsettled import OPEN_CLASSES
from worker.jobs.reports.trial_balance import TrialBalance

CLASSES: Final[Mapping[str, str]] = {
    "matched": "the ledger holds what the event asks for",
    "missing_in_ledger": "asked for or announced, and not in the ledger",
    "not_in_any_topic": "in the ledger, and no event explains it",
    "amount_mismatch": "another amount",
    "account_mismatch": "other accounts",
    "currency_mismatch": "another currency",
    "fee_mismatch": "another fee",
    "category_mismatch": "another reporting category in Stripe's report",
    "duplicate": "told, posted or announced more than once",
    "not_announced": "an outcome that no topic tells",
    "announcement_mismatch": "announced otherwise than the ledger holds it",
    "unreadable": "a record of a topic of ours that cannot be read",
    "told_by_payments_only": "no settlement event of it yet, or none came",
    "told_by_settlements_only": "no payment event of it: a webhook that was lost",
    "amounts_differ": "payment and settlement events tell different amounts",
    "missing_in_bank": "in the books, and not on the bank's statement",
    "bank_only": "on the bank's statement, and not in the books",
    "missing_in_report": "Stripe's report lacks it",
    "copy_mismatch": "the copy has another balance than the ledger",
    "late": "posted after its period was closed",
    "backdated": "posted in this period about a fact before it",
    "opening_mismatch": "another balance than the last closed period ended with",
    "rejected": "the ledger refused it",
    "parked": "waits for its predecessor",
    "dead": "could not be posted, kept with its reason",
    "in_transit": "not finished yet",
}
"""Every class, in the order in which they are shown."""

AGED_CLASSES: Final = (
    *OPEN_CLASSES,
    *BANK_CLASSES,
    *("parked", "dead", "not_announced", "missing_in_ledger", "not_in_any_topic"),
)
"""What stays open until somebody or something ends it, in the table of ages."""

AGREES: Final = "everything agrees"

BALANCE_LINES: Final[Mapping[str, str]] = {
    "clearing_moved": "Stripe clearing, moved",
    "clearing_journal": "of which journal entries",
    "clearing_in_transit": "of which in transit",
    "settlement_net": "net of the settlement feed",
    "settlement_difference": "difference to it",
    "clearing_closing": "Stripe clearing, closing",
    "reserve_closing": "held back by Stripe",
    "balance_at_stripe": "clearing and reserve",
    "stripe_balance": "Stripe says",
    "stripe_difference": "difference to that",
    "unsettled_closing": "Stripe unsettled, closing",
    "unsettled_items": "of which listed as open",
}
"""The balances of a currency's summary, and how reports call them."""

BANK_LINES: Final[Mapping[str, str]] = {
    "statement_closing": "bank's statement, closing",
    "books_closing": "bank in the books, closing",
    "items_between": "items between the two",
    "unexplained": "unexplained",
}
"""The balances of a bank's statement, and how reports call them."""

COUNTED: Final = """
SELECT cu.currency, 'matched', count(*), CAST(sum(c.stored_amount) AS VARCHAR), false
FROM compared c JOIN currencies cu ON cu.ledger = c.ledger
WHERE c.verdict = 'matched' GROUP BY cu.currency
UNION ALL
SELECT coalesce(currency, ''), class, count(*),
  CAST(sum(coalesce(expected_amount, actual_amount, 0)) AS VARCHAR), bool_or(differs)
FROM items GROUP BY coalesce(currency, ''), class
"""


def verdict(summary: Mapping[str, Any]) -> str:
    """The result in a few words; nothing agrees while money is dead, waits, or is open."""
    dead = summary["dead_letters"]
    if count := summary["differences"]:
        letters = f"; {dead:,} dead {'letter needs' if dead == 1 else 'letters need'} a person"
        return f"{count:,} difference{'s' * (count != 1)}" + letters * bool(dead)
    waiting = {
        "parked": "parked",
        "open_items": "open on stripe_unsettled",
        "bank_items": "not at the bank yet, or not in the books",
    }
    found = [f"{summary[name]:,} {text}" for name, text in waiting.items() if summary[name]]
    return f"no differences yet; {', '.join(found)}" if found else AGREES


MIDNIGHT: Final = "T00:00:00.000000Z"


def period_text(summary: Mapping[str, Any]) -> str:
    """The range in words, midnights as days."""
    first, end = (str(summary[name]).removesuffix(MIDNIGHT) for name in ("from", "to"))
    return f"{first or 'the beginning'} to {f'before {end}' if end else 'the end'}"


SETTLED_NET: Final = """
SELECT currency, CAST(sum(net) AS VARCHAR) FROM (
  SELECT DISTINCT ON (txn) * FROM settled WHERE on_balance AND NOT in_transit ORDER BY txn)
GROUP BY currency
"""
CLEARING_MOVED: Final = """
WITH moved AS (
  SELECT a.transfer_id, c.currency, a.in_transit,
    CASE WHEN a.debit = c.clearing THEN a.amount ELSE 0 END
      - CASE WHEN a.credit = c.clearing THEN a.amount ELSE 0 END AS amount
  FROM actual a JOIN currencies c USING (ledger)
  WHERE a.in_range AND c.clearing IN (a.debit, a.credit) AND a.flags & $resting = 0),
booked AS (
  SELECT DISTINCT l.transfer_id FROM legs l JOIN events e USING (tag, variant)
  WHERE e.event_type = 'journal.entry')
SELECT currency, CAST(coalesce(sum(amount) FILTER (NOT in_transit AND b.transfer_id IS NOT NULL), 0)
    AS VARCHAR), CAST(coalesce(sum(amount) FILTER (in_transit), 0) AS VARCHAR)
FROM moved LEFT JOIN booked b USING (transfer_id) GROUP BY currency
"""
"""By currency: what journal entries moved on Stripe's clearing account, and what is in transit."""

OPEN_NET: Final = """
SELECT c.currency, CAST(sum(coalesce(expected_amount, 0) - coalesce(actual_amount, 0)) AS VARCHAR)
FROM items i JOIN currencies c ON c.ledger = i.ledger
WHERE i.class IN $classes GROUP BY c.currency
"""


def summarize(
    database: Database,
    rulebook: Rulebook,
    trial: TrialBalance,
    moved: Moved,
    stripe: Mapping[str, int],
) -> dict[str, Any]:
    """The summary.

    moved: movements within and after the range, by account and ledger. stripe: Stripe's own balance
    by currency in minor units, where it was given.
    """
    currencies: dict[str, dict[str, Any]] = {}
    settled = {name: int(net) for name, net in database.execute(SETTLED_NET).fetchall()}
    besides = {
        name: (int(journal), int(transit))
        for name, journal, transit in database.execute(
            CLEARING_MOVED,
            {"resting": TransferFlags.PENDING | TransferFlags.VOID_PENDING_TRANSFER},
        ).fetchall()
    }
    opened = database.execute(OPEN_NET, {"classes": list(OPEN_CLASSES)}).fetchall()
    open_items = {name: int(net) for name, net in opened}
    for currency, kind, count, amount, _ in database.execute(COUNTED).fetchall():
        entry = currencies.setdefault(currency, {"classes": {}})
        scale = _scale(rulebook, currency)
        entry["classes"][kind] = {"items": count, "amount": major_units(int(amount), scale)}
    for currency, entry in currencies.items():
        found = entry["classes"]
        entry["classes"] = {known: found[known] for known in CLASSES if known in found}
        if currency in rulebook.ledgers:
            books = _StripeBooks(rulebook, trial, moved, currency)
            entry.update(books.fields(stripe.get(currency)))
            if UNSETTLED in rulebook.accounts:
                journal, transit = besides.get(currency, (0, 0))
                entry.update(
                    books.settlement(
                        settled.get(currency, 0),
                        open_items.get(currency, 0),
                        journal=journal,
                        transit=transit,
                    )
                )
    differing = database.execute(
        "SELECT class, count(*) FROM items WHERE differs GROUP BY class"
    ).fetchall()
    days = database.execute(
        "SELECT strftime(make_timestamp(time_ms * 1000), '%Y-%m-%d') AS day, count(*) FROM items"
        " WHERE differs AND time_ms IS NOT NULL GROUP BY day ORDER BY day"
    ).fetchall()
    off = sum(
        entry.get(name, "0").strip("-0.") != ""
        for entry in currencies.values()
        for name in ("stripe_difference", "settlement_difference")
    )
    return {
        "differences": sum(count for _, count in differing) + off,
        "differences_by_class": {
            known: n for known in CLASSES for name, n in differing if name == known
        },
        "differences_by_day": dict(days),
        **counted_waiting(database),
        "currencies": dict(sorted(currencies.items())),
    }


WAITING: Final = """
SELECT count(DISTINCT position) FILTER (class = 'dead'), count(DISTINCT position) FILTER
  (class = 'parked'), count(*) FILTER (class IN $open), count(*) FILTER (class IN $bank) FROM items
"""


def counted_waiting(database: Database) -> dict[str, int]:
    """How many events are dead or parked, and how many items are open, also at the bank."""
    classes = {"open": list(OPEN_CLASSES), "bank": list(BANK_CLASSES)}
    ((dead, parked, opened, bank),) = database.execute(WAITING, classes).fetchall()
    return {"dead_letters": dead, "parked": parked, "open_items": opened, "bank_items": bank}


def _scale(rulebook: Rulebook, currency: str) -> int:
    declared = rulebook.ledgers.get(currency)
    return declared.scale if declared else 0


@dataclass(frozen=True, slots=True)
class _StripeBooks:
    """The accounts that mirror Stripe in one currency: debits less credits, what it owes us."""

    rulebook: Rulebook
    trial: TrialBalance
    moved: Moved
    currency: str

    def _shown(self, amount: int) -> str:
        return major_units(amount, self.rulebook.ledgers[self.currency].scale)

    def _closing(self, account: str) -> tuple[int, int]:
        """The balance at the range's end, and what moved within it; minor units."""
        ledger = self.rulebook.ledgers[self.currency].ledger
        total = self.trial.totals.get((account, ledger))
        now = total.debits - total.credits if total else 0
        within, after = self.moved.get((account, ledger), (0, 0))
        return now - after, within

    def fields(self, stripe: int | None) -> dict[str, str]:
        """The clearing account over the range, and Stripe's balance where it was given."""
        closing, within = self._closing(CLEARING)
        reserve, _ = self._closing(RESERVE)
        fields = {
            "clearing_opening": self._shown(closing - within),
            "clearing_moved": self._shown(within),
            "clearing_closing": self._shown(closing),
            "reserve_closing": self._shown(reserve),
            "balance_at_stripe": self._shown(closing + reserve),
        }
        if stripe is not None:
            fields["stripe_balance"] = self._shown(stripe)
            fields["stripe_difference"] = self._shown(closing + reserve - stripe)
        return fields

    def settlement(self, net: int, opened: int, *, journal: int, transit: int) -> dict[str, str]:
        """The settlement feed against clearing, and what is open on `stripe_unsettled`.

        net: of the balance transactions of the range. opened: the sum of the open items; what is
        left of the account was open before the range. journal, transit: what journal entries, and
        records that the group has not committed, moved on clearing: the feed does not tell them.
        """
        _, within = self._closing(CLEARING)
        unsettled, _ = self._closing(UNSETTLED)
        besides = {"clearing_journal": journal, "clearing_in_transit": transit}
        return {
            **{name: self._shown(amount) for name, amount in besides.items() if amount},
            "settlement_net": self._shown(net),
            "settlement_difference": self._shown(within - journal - transit - net),
            "unsettled_closing": self._shown(unsettled),
            "unsettled_items": self._shown(opened),
        }


def stripe_balances(given: list[str], rulebook: Rulebook) -> dict[str, int]:
    """`usd=1234.56` as minor units by currency.

    Raises:
        UsageError: one is no amount of a currency that the rulebook knows.
    """
    found = {}
    for text in given:
        currency, _, amount = text.partition("=")
        declared = rulebook.ledgers.get(currency.lower())
        value = reported_amount(amount, declared.scale) if declared else None
        if value is None:
            raise UsageError(f"--stripe-balance {text!r} is not like usd=1234.56")
        found[currency.lower()] = value
    return found
