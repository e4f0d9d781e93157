"""What payment and settlement events told of a Stripe object, on the account where they meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from worker.core.chain import Chain, Leg
from worker.core.ids import account_id
from worker.core.iso_times import iso_time
from worker.core.money import major_units
from worker.core.wire import Transfer, transfer_kind
from worker.jobs.reconcile.stripe_side import SETTLEMENTS, UNSETTLED, settled_object, told_by
from worker.jobs.trace.found import OpenItem
from worker.jobs.trace.judge import TranslatedRecord
from worker.ledger.books import NamedLedger

Told = tuple[Chain, Iterable[Transfer]]
"""What a record asks for, and the transfers that it posted."""


class Sides(NamedTuple):
    """What was told of one Stripe object in one currency, in minor units, debits positive.

    since_ns: the ledger's time of its first transfer.
    """

    payments: int = 0
    settlements: int = 0
    since_ns: int = 0


def both_sides(told: Iterable[Told]) -> dict[tuple[str, int], Sides]:
    """What each side told, by Stripe object and ledger, on the account where they meet."""
    found: dict[tuple[str, int], Sides] = {}
    for chain, transfers in told:
        for each in transfers:
            amount = _on_unsettled(each)
            if amount and transfer_kind(each.flags) in {"posted", "post"}:
                item = (settled_object(chain), each.ledger)
                sides = found.get(item, Sides(since_ns=each.timestamp))
                side = "settlements" if told_by(chain) == SETTLEMENTS else "payments"
                since_ns = min(sides.since_ns, each.timestamp)
                more = {side: getattr(sides, side) + amount, "since_ns": since_ns}
                found[item] = sides._replace(**more)
    return found


def open_items(told: Iterable[Told], books: NamedLedger) -> Iterator[OpenItem]:
    """Each Stripe object that some records tell of, and what is open of it."""
    for (name, ledger), sides in sorted(both_sides(told).items()):
        currency, scale = books.currency(ledger)
        remainder = sides.payments + sides.settlements
        yield OpenItem(
            stripe_object=name,
            currency=currency,
            is_open=bool(remainder),
            payments=major_units(sides.payments, scale),
            settlements=major_units(-sides.settlements, scale),
            open=major_units(remainder, scale),
            since=iso_time(sides.since_ns),
        )


def without_settlement(records: Iterable[TranslatedRecord]) -> list[str]:
    """The Stripe objects that payments tell of and no settlement event found so far does."""
    sides: dict[str, set[str]] = defaultdict(set)
    for each in records:
        if isinstance(each.answer, Chain) and any(map(_is_unsettled, each.answer.legs)):
            sides[settled_object(each.answer)].add(told_by(each.answer))
    return [name for name, sources in sides.items() if name and SETTLEMENTS not in sources]


def _is_unsettled(leg: Leg) -> bool:
    return UNSETTLED in {leg.debit and leg.debit.name, leg.credit and leg.credit.name}


def _on_unsettled(transfer: Transfer) -> int:
    """What a transfer moves on `stripe_unsettled`, minor units, debits positive."""
    number = account_id(ledger=transfer.ledger, name=UNSETTLED, key="")
    sign = (transfer.debit_account_id == number) - (transfer.credit_account_id == number)
    return transfer.amount * sign
