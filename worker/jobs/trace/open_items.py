"""What payment and settlement events told of a Stripe object, on the account where they meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from worker.core.chain import Chain, Leg
from worker.core.money import major_units
from worker.jobs.reconcile.stripe_side import SETTLEMENTS, UNSETTLED, settled_object, told_by
from worker.jobs.trace.found import OpenItem, TracedRecord, TracedTransfer
from worker.jobs.trace.judge import TranslatedRecord
from worker.ledger.books import NamedLedger


def open_items(records: Sequence[TracedRecord], books: NamedLedger) -> Iterator[OpenItem]:
    """What both sides told of each Stripe object, on the account where they meet."""
    sides: dict[tuple[str, int], list[int]] = {}
    for record in records:
        if record.chain is None:
            continue
        side = int(told_by(record.chain) == SETTLEMENTS)
        for each in record.transfers:
            amount = _on_unsettled(each)
            if amount and each.kind in {"posted", "post"}:
                key = (settled_object(record.chain), each.transfer.ledger)
                sides.setdefault(key, [0, 0])[side] += amount
    for (name, ledger), (payments, settlements) in sorted(sides.items()):
        currency, scale = books.currency(ledger)
        amounts = (payments, -settlements, payments + settlements)
        totals = [major_units(amount, scale) for amount in amounts]
        yield OpenItem(name, currency, bool(amounts[2]), *totals)


def without_settlement(records: Iterable[TranslatedRecord]) -> list[str]:
    """The Stripe objects that payments tell of and no settlement event found so far does."""
    sides: dict[str, set[str]] = defaultdict(set)
    for each in records:
        if isinstance(each.answer, Chain) and any(map(_is_unsettled, each.answer.legs)):
            sides[settled_object(each.answer)].add(told_by(each.answer))
    return [name for name, sources in sides.items() if name and SETTLEMENTS not in sources]


def _is_unsettled(leg: Leg) -> bool:
    return UNSETTLED in {leg.debit and leg.debit.name, leg.credit and leg.credit.name}


def _on_unsettled(transfer: TracedTransfer) -> int:
    """What a transfer moves on `stripe_unsettled`, minor units, debits positive."""
    amount = transfer.transfer.amount
    return amount * ((transfer.debit == UNSETTLED) - (transfer.credit == UNSETTLED))
