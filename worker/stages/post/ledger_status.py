"""Is a chain in the ledger: as the rulebook has it, otherwise, or not at all?

Nothing is written. A fact that the ledger holds under other ids is found by its tag, so that it is
never posted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from worker.core.chain import Chain
from worker.core.event import Dead, Reason
from worker.core.outcome import same_chain
from worker.core.ports import Ledger
from worker.core.translate import Translator
from worker.core.wire import QueryFilter, Transfer
from worker.stages.post.find_predecessors import PredecessorLookup
from worker.stages.post.readback import PostedLegs
from worker.stages.post.variants import excess, variants


class ChainStatus(StrEnum):
    """How the ledger stands to a chain."""

    NEW = "new"
    WAITING = "waiting"
    EXISTS = "exists"
    CONFLICT = "conflict"
    OTHER_IDS = "other_ids"
    DEAD = "dead"


class RequestedChain(NamedTuple):
    """A chain at attempt 0, and the role under which its event came."""

    chain: Chain
    role: str


class LedgerStatus:
    """Asks one ledger about chains, many at a time."""

    def __init__(self, ledger: Ledger, rules: Translator) -> None:
        self._ledger = ledger
        self._rules = rules
        self._predecessors = PredecessorLookup(ledger, rules, PostedLegs(ledger, rules))

    def of(self, requested: Sequence[RequestedChain]) -> list[ChainStatus]:
        """How the ledger stands to each."""
        transfers = self._look_up(leg.id for one in requested for leg in one.chain.legs)
        variants = [self._variant(one, transfers) for one in requested]
        chains = [chain for chain in variants if isinstance(chain, Chain)]
        resolved = iter(self._predecessors.resolve(chains))
        full = [next(resolved) if isinstance(one, Chain) else one for one in variants]
        legs = [leg for one in full if isinstance(one, Chain) for leg in one.legs]
        transfers |= self._look_up(number for leg in legs for number in leg.pending_ids)
        transfers |= self._look_up(leg.id for leg in legs if leg.id not in transfers)
        return [_status(one, transfers) for one in full]

    def under_other_ids(self, requested: Sequence[RequestedChain]) -> list[bool]:
        """Does the ledger hold the fact, and under none of the ids that it can have now?"""
        transfers = self._look_up(one.chain.legs[0].id for one in requested)
        return [self._variant(one, transfers) is ChainStatus.OTHER_IDS for one in requested]

    def _look_up(self, ids: Iterable[int]) -> dict[int, Transfer]:
        wanted = list(dict.fromkeys(ids))
        return {one.id: one for one in self._ledger.lookup_transfers(wanted)} if wanted else {}

    def _variant(
        self, one: RequestedChain, transfers: Mapping[int, Transfer]
    ) -> Chain | ChainStatus:
        """The chain as it was posted: at its attempt, perhaps to suspense; itself if new."""
        chain = one.chain
        beyond = excess(chain, transfers.get(chain.legs[0].id))
        if beyond is not None:
            return self._more(one) if beyond > 0 else ChainStatus.EXISTS
        if any(leg.id in transfers for leg in chain.legs):
            return chain
        stored = self._ledger.query_transfers(QueryFilter(user_data_128=chain.tag))
        if not stored:
            return chain
        ids = {transfer.id for transfer in stored}
        for other in variants(self._rules, chain.event, role=one.role, known=chain):
            if any(leg.id in ids for leg in other.legs):
                return other
        return ChainStatus.OTHER_IDS

    def _more(self, one: RequestedChain) -> Chain | ChainStatus:
        found = self._rules.translate(one.chain.event, role=one.role, more=True)
        return found if isinstance(found, Chain) else ChainStatus.EXISTS


def _status(found: Chain | Dead | ChainStatus, transfers: Mapping[int, Transfer]) -> ChainStatus:
    if isinstance(found, ChainStatus):
        return found
    if isinstance(found, Dead):
        return (
            ChainStatus.WAITING if found.reason is Reason.PREDECESSOR_MISSING else ChainStatus.DEAD
        )
    stored = [transfers[leg.id] for leg in found.legs if leg.id in transfers]
    if not stored:
        waits = any(
            leg.pending_ids and not any(number in transfers for number in leg.pending_ids)
            for leg in found.legs
        )
        return ChainStatus.WAITING if waits else ChainStatus.NEW
    return ChainStatus.EXISTS if same_chain(found, stored, transfers) else ChainStatus.CONFLICT
