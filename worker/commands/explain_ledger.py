"""What the ledger holds for a chain that is explained: its origin's accounts and their balances."""

from __future__ import annotations

from typing import NamedTuple

from worker.core.chain import AccountRef, Chain
from worker.core.event import Dead
from worker.core.money import Currency, major_units
from worker.core.ports import Ledger
from worker.core.rulebook import Rulebook
from worker.core.translate import Translator
from worker.core.wire import Account
from worker.stages.post.find_predecessors import PredecessorLookup
from worker.stages.post.readback import PostedLegs


class ShownBalance(NamedTuple):
    """What an account holds, in major units.

    posted: positive on the side that its type grows by.
    """

    posted: str
    pending_debits: str
    pending_credits: str


class ExplainLedger:
    """What `explain` reads of one ledger."""

    def __init__(self, ledger: Ledger, translator: Translator) -> None:
        self._ledger = ledger
        self._predecessors = PredecessorLookup(ledger, translator, PostedLegs(ledger, translator))

    def resolve(self, chain: Chain) -> Chain | Dead:
        """The chain with the accounts of its origin, or what it lacks."""
        return self._predecessors.resolve([chain])[0]

    def posted(self, chain: Chain) -> int:
        """How many of the chain's transfers are in the ledger, under this attempt."""
        return len(self._ledger.lookup_transfers([leg.id for leg in chain.legs]))

    def accounts(self, chain: Chain) -> dict[int, Account]:
        """Those of the chain's accounts that exist, by id."""
        wanted = list(dict.fromkeys(ref.id for ref in chain.accounts() if ref.id > 0))
        return (
            {account.id: account for account in self._ledger.lookup_accounts(wanted)}
            if wanted
            else {}
        )


def balance(
    rulebook: Rulebook, ref: AccountRef, stored: Account | None, currency: Currency
) -> ShownBalance | None:
    """An account's balance; None where it does not exist yet."""
    if stored is None:
        return None
    declared = rulebook.accounts.get(ref.name)
    posted = stored.credits_posted - stored.debits_posted
    if declared is not None and declared.debit_normal:
        posted = -posted
    amounts = (posted, stored.debits_pending, stored.credits_pending)
    return ShownBalance(*(major_units(amount, currency.scale) for amount in amounts))
