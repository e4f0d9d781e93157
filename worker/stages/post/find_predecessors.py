"""Finds the earlier chains that a batch's chains need, and fills in the accounts they give.

Nothing but accounts is filled in, and a chain goes on only when every predecessor that it must have
is in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from worker.core.chain import AccountRef, Chain, Fill, Need
from worker.core.event import Dead, Reason
from worker.core.ports import Ledger
from worker.core.predecessors import candidate_ids, recomputes, with_accounts, with_stored_accounts
from worker.core.rulebook import Side
from worker.core.translate import Translator
from worker.core.wire import QueryFilter, Transfer
from worker.stages.post.readback import PostedLegs

OriginAccounts = dict[tuple[str, Side], int]
"""Account ids of a found chain by leg and side."""

Waiter = TypeVar("Waiter")


class PredecessorLookup:
    """Looks chains up in one ledger: by id where the rule knows the time, else by query."""

    def __init__(self, ledger: Ledger, rules: Translator, posted_legs: PostedLegs) -> None:
        self._ledger = ledger
        self._rules = rules
        self._posted_legs = posted_legs

    def resolve(self, chains: Sequence[Chain]) -> list[Chain | Dead]:
        """Each chain with its accounts in place, or why it cannot be posted."""
        stored = self._by_id(_sought_ids(chains))
        return [self._resolved(chain, stored) for chain in chains]

    def stored(self, ids: Iterable[int]) -> Mapping[int, Transfer]:
        """The transfers of these ids that are in the ledger."""
        return self._by_id(ids)

    def _by_id(self, ids: Iterable[int]) -> Mapping[int, Transfer]:
        wanted = list(dict.fromkeys(ids))
        return (
            {transfer.id: transfer for transfer in self._ledger.lookup_transfers(wanted)}
            if wanted
            else {}
        )

    def _resolved(self, chain: Chain, stored: Mapping[int, Transfer]) -> Chain | Dead:
        needs = chain.needs
        if needs is None:
            return chain
        if needs.optional and (account_ids := with_stored_accounts(chain, stored)) is not None:
            return with_accounts(chain, self._named(account_ids))
        if needs.after is not None and not self._look(needs.after, stored):
            return _missing(needs.after)
        known = self._known(needs.fills)
        if needs.origin is None:
            return self._rules.fill(chain, {}, known)
        return self._with_origin(chain, needs.origin, stored, known)

    def _known(self, fills: Iterable[Fill]) -> set[int]:
        """Which accounts that rules ask for are in the ledger."""
        wanted = {fill.known.id for fill in fills if fill.known is not None}
        found = self._ledger.lookup_accounts(list(wanted)) if wanted else []
        return {account.id for account in found}

    def _with_origin(
        self, chain: Chain, origin: Need, stored: Mapping[int, Transfer], known: set[int]
    ) -> Chain | Dead:
        found = self._look(origin, stored)
        if not found and not origin.optional:
            return _missing(origin)
        filled = self._rules.fill(chain, self._named(found), known)
        if found or not origin.or_else or isinstance(filled, Dead):
            return filled
        return filled._replace(alert=f"{origin.text} never came: posted without it")

    def _named(self, numbers: Mapping[Waiter, int]) -> dict[Waiter, AccountRef]:
        refs = self._posted_legs.account_refs(numbers.values())
        return {filled: refs[number] for filled, number in numbers.items()}

    def _look(self, need: Need, stored: Mapping[int, Transfer]) -> OriginAccounts:
        """The first chain that is there; empty when none is."""
        for sought in need.sought:
            if need.time_ms is None:
                transfers = self._ledger.query_transfers(QueryFilter(user_data_128=sought.tag))
            else:
                ids = candidate_ids(sought, need.time_ms)
                transfers = [stored[number] for number in ids if number in stored]
            found = recomputes(sought, transfers)
            if found:
                return found
        return {}


def _sought_ids(chains: Sequence[Chain]) -> Iterable[int]:
    """The ids of all predecessors of known time, and of the chains that may be there already."""
    for chain in chains:
        if chain.needs is None:
            continue
        if chain.needs.optional:
            yield from (leg.id for leg in chain.legs)
        for need in (chain.needs.origin, chain.needs.after):
            if need is not None and need.time_ms is not None:
                for sought in need.sought:
                    yield from candidate_ids(sought, need.time_ms)


def _missing(need: Need) -> Dead:
    detail = f"{need.text} is not in the ledger"
    return Dead(Reason.PREDECESSOR_MISSING, detail, need.or_nothing)
