"""Posted legs read back: what the ledger holds, with the rulebook's names.

The invariant: amounts, flags, codes and timestamps come from the ledger's own record, never from
what was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from worker.core.chain import LINKED, AccountRef, Chain, Leg, leg_spec
from worker.core.errors import BrokenInvariant
from worker.core.money import Currency
from worker.core.outcome import PostedLeg
from worker.core.ports import Ledger
from worker.core.translate import Translator
from worker.core.wire import QueryFilter, Transfer, transfer_kind

NAMED_MAX: Final = 250_000
"""How many accounts' names are remembered."""


class PostedLegs:
    """Reads posted legs back from one ledger."""

    def __init__(self, ledger: Ledger, rules: Translator, *, named_max: int = NAMED_MAX) -> None:
        self._named_max = named_max
        self._ledger = ledger
        self._rules = rules
        self._named: dict[int, AccountRef] = {}

    def posted_by(self, chain: Chain, position: int) -> list[Transfer]:
        """Every leg that the record at this position posted for the chain's key."""
        query = QueryFilter(user_data_128=chain.tag, user_data_64=position)
        return self._ledger.query_transfers(query)

    def legs(self, chain: Chain, stored: Sequence[Transfer]) -> tuple[PostedLeg, ...]:
        """Stored transfers as legs of the chain, by id."""
        by_id = {leg.id: leg for leg in chain.legs}
        return tuple(
            self.leg(by_id.get(transfer.id) or self._unknown_leg(chain, transfer), transfer)
            for transfer in stored
        )

    def leg(self, leg: Leg, transfer: Transfer) -> PostedLeg:
        """One stored transfer as the leg that asked for it."""
        return PostedLeg(
            spec=leg.spec,
            currency=self._rules.currency_of(transfer.ledger) or leg.currency,
            id=transfer.id,
            debit=self._account(leg.debit, transfer.debit_account_id),
            credit=self._account(leg.credit, transfer.credit_account_id),
            amount=transfer.amount,
            pending_id=transfer.pending_id,
            code=transfer.code,
            flags=transfer.flags,
            timestamp=transfer.timestamp,
            leg_number=transfer.user_data_32 >> 16,
            leg_count=transfer.user_data_32 & 0xFFFF,
            timeout=transfer.timeout,
        )

    def _unknown_leg(self, chain: Chain, transfer: Transfer) -> Leg:
        """A leg that the rulebook in force no longer has: named by its number."""
        currency = self._rules.currency_of(transfer.ledger) or Currency("", transfer.ledger, 0)
        spec = leg_spec(
            transaction=chain.transaction,
            leg=f"leg_{transfer.user_data_32 >> 16}",
            kind=transfer_kind(transfer.flags),
            code=transfer.code,
            flags=transfer.flags & ~LINKED,
            timeout=transfer.timeout,
        )
        return Leg(spec, currency, transfer.id, None, None, transfer.amount)

    def _account(self, expected: AccountRef | None, number: int) -> AccountRef:
        if expected is not None and expected.id == number:
            return expected
        return self.account_refs([number])[number]

    def account_refs(self, numbers: Iterable[int]) -> dict[int, AccountRef]:
        """Accounts that transfers name, by id; read from the ledger once."""
        wanted = list(dict.fromkeys(numbers))
        missing = [number for number in wanted if number not in self._named]
        found = self._ledger.lookup_accounts(missing) if missing else []
        if len(found) != len(missing):
            raise BrokenInvariant("a transfer names an account that does not exist")
        if len(self._named) + len(missing) > self._named_max:
            kept = [(number, self._named[number]) for number in wanted if number in self._named]
            self._named = dict(kept)
        self._named.update((account.id, self._rules.name_account(account)) for account in found)
        return {number: self._named[number] for number in wanted}
