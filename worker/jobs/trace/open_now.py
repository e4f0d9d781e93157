"""What is open on `stripe_unsettled` now, found from the account's newest transfers.

Each transfer leads to its record, which names the Stripe object. Where only settlements tell of an
object, its payment is looked up, because that is older; a settlement comes after its payment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from worker.core.chain import Chain
from worker.core.ids import account_id
from worker.core.money import major_units
from worker.core.ports import RecordPosition
from worker.core.wire import AccountFilter, Transfer
from worker.jobs.reconcile.stripe_side import UNSETTLED
from worker.jobs.trace.found import CurrencyUnsettled, OpenItems
from worker.jobs.trace.gathering import Gathering
from worker.jobs.trace.open_items import Told, both_sides, open_items
from worker.jobs.trace.target import tags
from worker.ledger.books import NamedLedger

UNSETTLED_MAX: Final = 2000
"""The newest transfers of a currency that are looked at, and so the records that are read."""

FOLLOWED_MAX: Final = 50
"""Objects whose payment is looked up; each takes some dozens of requests to the ledger."""


def open_now(found: Gathering, books: NamedLedger, *, since_ns: int) -> OpenItems:
    """The open items of which something was posted since a time, and what they do not explain.

    found: nothing gathered yet.
    """
    accounts = {
        account_id(ledger=currency.ledger, name=UNSETTLED, key=""): currency.ledger
        for currency in books.rulebook.ledgers.values()
    }
    cut = set()
    for number, ledger in accounts.items():
        query = AccountFilter(number, timestamp_min=since_ns, limit=UNSETTLED_MAX, reversed=True)
        moved = books.ledger.account_transfers(query)
        found.stored.update({each.id: each for each in moved})
        cut |= {ledger} if len(moved) == UNSETTLED_MAX else set()
    found.read_posters()
    sides = both_sides(_told(found, books))
    unpaid = [name for (name, _), each in sides.items() if each.settlements and not each.payments]
    found.add_exactly(tags(books.rulebook, unpaid[:FOLLOWED_MAX]))
    found.read_posters()
    items = [each for each in open_items(_told(found, books), books) if each.is_open]
    listed: dict[int, int] = defaultdict(int)
    for (_, ledger), each in both_sides(_told(found, books)).items():
        listed[ledger] += each.payments + each.settlements
    currencies = []
    for stored in books.ledger.lookup_accounts(list(accounts)):
        currency, scale = books.currency(stored.ledger)
        held, known = stored.debits_posted - stored.credits_posted, listed[stored.ledger]
        currencies.append(
            CurrencyUnsettled(
                currency=currency,
                held=major_units(held, scale),
                listed=major_units(known, scale),
                rest=major_units(held - known, scale),
                cut=stored.ledger in cut,
            )
        )
    items.sort(key=lambda each: each.since)
    return OpenItems(tuple(items), tuple(sorted(currencies)))


def _told(found: Gathering, books: NamedLedger) -> Iterator[Told]:
    """What each record that was read asks for, and those of the transfers that it posted."""
    posted: dict[RecordPosition, list[Transfer]] = defaultdict(list)
    for each in found.stored.values():
        at = books.named_position(each.user_data_64)
        if at is not None:
            posted[found.waited.get(at, at)].append(each)
    for at, transfers in posted.items():
        translated = found.records.get(at)
        if translated is not None and isinstance(translated.answer, Chain):
            yield translated.answer, transfers
