"""From chains to outcomes: what is asked of the ledger for one batch, and what its answers mean.

The invariant: nothing is posted before its accounts exist and its predecessors were found,
so that no id is burned by our own haste. Decisions are in `core.outcome`; this module asks the
ledger and puts the answers together. It knows neither Kafka nor bytes, and blocks: the pipeline
runs it in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from worker.core import outcome as table
from worker.core.chain import BALANCING, LINKED, AccountRef, Chain, new
from worker.core.errors import BrokenInvariant
from worker.core.event import ATTEMPT_MAX, Dead, Reason
from worker.core.outcome import (
    ChainResult,
    ExistingChain,
    Outcome,
    OutcomeKind,
    PostedLeg,
    Rejection,
    Verdict,
)
from worker.core.packing import flaw, pack_chain
from worker.core.ports import Ledger
from worker.core.wire import ROW_BYTES, QueryFilter, Transfer
from worker.stages.item import Item
from worker.stages.post.account_creator import AccountCreator
from worker.stages.post.find_predecessors import PredecessorLookup
from worker.stages.post.readback import PostedLegs, PostingRules


class _Work:
    """One chain on its way through a request. pending: see `pack_chain`."""

    __slots__ = ("answer", "chain", "item", "outcome", "pending", "timestamps")

    def __init__(self, item: Item, chain: Chain) -> None:
        self.item = item
        self.chain = chain
        self.pending: dict[int, int] = {}
        self.answer: ChainResult | None = None
        self.timestamps: Sequence[int] = ()
        self.outcome: Outcome | None = None

    @property
    def position(self) -> int:
        return self.item.assignment.base | self.item.offset


class Poster:
    """Posts batches to one ledger, one request at a time.

    parked_max: how often an event may be parked before it is given up.
    """

    def __init__(self, ledger: Ledger, rules: PostingRules, *, parked_max: int) -> None:
        self._ledger = ledger
        self._rules = rules
        self._parked_max = parked_max
        self._accounts = AccountCreator(ledger)
        self._holdings = PostedLegs(ledger, rules)
        self._predecessors = PredecessorLookup(ledger, rules, self._holdings)

    def newest_timestamp(self) -> int:
        """The ledger's newest transfer timestamp in nanoseconds; 0 when it is empty."""
        newest = self._ledger.query_transfers(QueryFilter(limit=1, reversed=True))
        return newest[0].timestamp if newest else 0

    def post(self, items: Sequence[Item]) -> list[Outcome]:
        """The outcome of every item, in order.

        Raises:
            BrokenInvariant: an answer that the ledger can give only to a bug of ours.
            DependencyUnavailable: the ledger refused the connection or was closed.
        """
        limit = self._ledger.batch_max
        outcomes: list[Outcome | None] = [_without_ledger(item, limit) for item in items]
        asked = [
            (number, _Work(item, item.asked))
            for number, item in enumerate(items)
            if outcomes[number] is None and isinstance(item.asked, Chain)
        ]
        while asked:
            self._request([work for _, work in asked])
            asked = [again for one in asked if (again := self._settle(one, outcomes))]
        return [_told(outcome) for outcome in outcomes]

    def _settle(
        self, one: tuple[int, _Work], outcomes: list[Outcome | None]
    ) -> tuple[int, _Work] | None:
        """Keep the outcome, or try what is next after a refusal.

        That is the same chain to its suspense accounts, else the next attempt of a redriven event.
        """
        number, work = one
        outcome = _told(work.outcome)
        if outcome.kind is OutcomeKind.POSTED:
            outcomes[number] = outcome
            return None
        attempt = work.chain.attempt
        if work.chain.suspends and work.answer is not None and table.diverts(work.answer):
            return number, _Work(work.item, self._attempt(work, attempt, diverted=True))
        refused = work.answer is not None and work.answer.verdict in {
            Verdict.REJECTED,
            Verdict.FAILED_BEFORE,
        }
        if refused and attempt < work.item.attempts:
            return number, _Work(work.item, self._attempt(work, attempt + 1))
        outcomes[number] = outcome
        return None

    def _attempt(self, work: _Work, attempt: int, *, diverted: bool = False) -> Chain:
        role, event = work.item.role, work.chain.event
        chain = self._rules.translate(event, role=role, attempt=attempt, diverted=diverted)
        if not isinstance(chain, Chain):
            raise BrokenInvariant("an event became something else at another attempt")
        return chain

    def _request(self, works: list[_Work]) -> None:
        """One round: predecessors, accounts, transfers, and what must be looked up after."""
        self._find_predecessors(works)
        self._open_accounts([work for work in works if work.outcome is None])
        reserved = self._find_pending(works)
        self._create([work for work in works if work.outcome is None])
        held = self._look_up(works)
        for work in works:
            if work.outcome is None:
                work.outcome = self._judge(work, held, reserved)

    def _open_accounts(self, works: list[_Work]) -> None:
        conflicts = self._accounts.make(work.chain for work in works)
        for work in works if conflicts else ():
            for account in work.chain.accounts():
                if account.id in conflicts:
                    detail = f"account {account.name} differs in the ledger from its declaration"
                    work.outcome = table.ledger_dead_letter(work.chain, Reason.CONFLICT, detail)

    # Predecessors

    def _find_predecessors(self, works: list[_Work]) -> None:
        """Take the accounts of earlier chains; who must wait for one has its outcome."""
        waiting = [work for work in works if work.chain.needs is not None]
        if not waiting:
            return
        resolved = self._predecessors.resolve([work.chain for work in waiting])
        for work, found in zip(waiting, resolved, strict=True):
            if isinstance(found, Dead):
                work.outcome = self._unready(work, found)
            else:
                self._accounts.remember(_read_back(work.chain, found))
                work.chain = found

    def _find_pending(self, works: list[_Work]) -> Mapping[int, Transfer]:
        """The pending transfers that these chains settle, all attempts in one request."""
        wanted = {
            pending: None
            for work in works
            if work.outcome is None
            for leg in work.chain.legs
            for pending in leg.pending_ids
        }
        if not wanted:
            return {}
        found = {held.id: held for held in self._ledger.lookup_transfers(list(wanted))}
        for work in works:
            if work.outcome is None:
                self._bind(work, found)
        return found

    def _bind(self, work: _Work, found: Mapping[int, Transfer]) -> None:
        for number, leg in enumerate(work.chain.legs):
            if not leg.pending_ids:
                continue
            pending = next((one for one in leg.pending_ids if one in found), None)
            if pending is None:
                detail = f"leg {leg.spec.name}: the transfer it settles is not in the ledger"
                work.outcome = self._unready(work, Dead(Reason.PREDECESSOR_MISSING, detail))
                return
            work.pending[number] = pending

    def _unready(self, work: _Work, why: Dead) -> Outcome:
        """It waits for what must come first; for anything else waiting would not help."""
        if why.reason is not Reason.PREDECESSOR_MISSING:
            return table.ledger_dead_letter(work.chain, why.reason, why.detail)
        tries = work.item.assignment.tries
        return table.missing_predecessor(
            work.chain, why.detail, tries=tries, tries_max=self._parked_max
        )

    # Transfers

    def _create(self, works: list[_Work]) -> None:
        if not works:
            return
        rows = b"".join(self._rows(work) for work in works)
        results = self._ledger.create_transfers(rows)
        if len(results) * ROW_BYTES != len(rows):
            raise BrokenInvariant("the ledger answered another number of transfers")
        timestamps, statuses = zip(*results, strict=True)
        start = 0
        for work in works:
            end = start + len(work.chain.legs)
            work.timestamps = timestamps[start:end]
            work.answer = table.chain_result(statuses[start:end])
            if work.answer.verdict is Verdict.BROKEN:
                leg = work.chain.legs[work.answer.leg_number].spec.name
                raise BrokenInvariant(f"leg {leg}: the ledger answered {work.answer.reason()}")
            start = end

    def _rows(self, work: _Work) -> bytes:
        if wrong := flaw(work.chain):
            raise BrokenInvariant(wrong)
        return pack_chain(work.chain, position=work.position, pending=work.pending)

    def _look_up(self, works: Iterable[_Work]) -> Mapping[int, Transfer]:
        """Transfers whose amounts or stories the answers do not tell."""
        wanted: list[int] = []
        for work in works:
            if work.answer is None:
                continue
            if work.answer.verdict is Verdict.CREATED:
                for leg in work.chain.legs:
                    if leg.debit is None or leg.spec.flags & BALANCING:
                        wanted.append(leg.id)  # noqa: PERF401 - this loop is hot
            elif work.answer.verdict is Verdict.EXISTS:
                wanted.extend(leg.id for leg in work.chain.legs)
            elif work.answer.verdict is Verdict.FAILED_BEFORE and _may_announce(work.item):
                wanted.extend(self._later_ids(work))
        if not wanted:
            return {}
        return {held.id: held for held in self._ledger.lookup_transfers(wanted)}

    def _later_ids(self, work: _Work) -> list[int]:
        variants = (False, True) if work.chain.suspends or work.chain.diverted else (False,)
        return [
            self._attempt(work, attempt, diverted=diverted).legs[0].id
            for attempt in range(work.chain.attempt + 1, ATTEMPT_MAX + 1)
            for diverted in variants
        ]

    # What the answers mean

    def _judge(
        self, work: _Work, held: Mapping[int, Transfer], reserved: Mapping[int, Transfer]
    ) -> Outcome:
        answer, chain = work.answer, work.chain
        if answer is None:
            raise BrokenInvariant("a chain was neither posted nor refused")
        if answer.verdict is Verdict.CREATED:
            return self._posted(chain, self._created_legs(work, held))
        leg = chain.legs[answer.leg_number].spec.name
        match answer.verdict:
            case Verdict.EXISTS:
                return self._existing(work, held, reserved)
            case Verdict.REJECTED:
                return _rejected(chain, Rejection(leg, answer.reason()))
            case Verdict.FAILED_BEFORE:
                return self._failed_before(work, held, leg)
            case verdict:
                return table.ledger_dead_letter(
                    chain, table.DEAD[verdict], f"leg {leg}: {answer.reason()}"
                )

    def _posted(self, chain: Chain, legs: tuple[PostedLeg, ...], alert: str = "") -> Outcome:
        alert = alert or (_DIVERTED if chain.diverted else "")
        fields = (OutcomeKind.POSTED, chain.attempt, chain.transaction, legs, None, None, alert)
        return new(Outcome, fields)

    def _created_legs(self, work: _Work, held: Mapping[int, Transfer]) -> tuple[PostedLeg, ...]:
        """What was just created. A flat loop: it runs for every leg of the hot path."""
        last = len(work.chain.legs) - 1
        posted = []
        for number, leg in enumerate(work.chain.legs):
            spec, currency, leg_id, debit, credit, amount, _ = leg
            stamp = work.timestamps[number]
            flags = spec.flags
            if debit is None or credit is None or flags & BALANCING:
                posted.append(self._holdings.leg(leg, _present(held, leg_id)))
                continue
            if number < last:
                flags |= LINKED
            # fmt: off
            posted.append(new(PostedLeg, (
                spec, currency, leg_id, debit, credit, amount, 0, spec.code, flags, stamp,
                number, last + 1,
            )))
            # fmt: on
        return tuple(posted)

    def _existing(
        self, work: _Work, held: Mapping[int, Transfer], reserved: Mapping[int, Transfer]
    ) -> Outcome:
        chain = work.chain
        stored = [held[leg.id] for leg in chain.legs if leg.id in held]
        if not stored:
            raise BrokenInvariant("a chain that exists was not found")
        rule = table.existing_verdict(
            same=len(stored) == len(chain.legs) and _same(work, stored, reserved),
            held_position=stored[0].user_data_64,
            held_at=stored[0].timestamp,
            position=work.position,
            since=work.item.assignment.since,
            earlier=work.item.earlier,
        )
        match rule:
            case ExistingChain.ANNOUNCE:
                return self._posted(chain, self._holdings.legs(chain, stored))
            case ExistingChain.COUNT:
                return Outcome(OutcomeKind.REDELIVERED, chain.attempt, chain.transaction)
            case ExistingChain.ANNOUNCE_AS_HELD:
                legs = self._holdings.legs(
                    chain, self._holdings.posted_by(chain, stored[0].user_data_64)
                )
                return self._posted(chain, legs, _OTHER_RULEBOOK)
            case ExistingChain.COUNT_AS_HELD:
                return Outcome(
                    OutcomeKind.REDELIVERED, chain.attempt, chain.transaction, alert=_OTHER_RULEBOOK
                )
            case ExistingChain.CONFLICT:
                detail = f"the ledger holds other money under the key of {chain.transaction}"
                return table.ledger_dead_letter(chain, Reason.CONFLICT, detail)

    def _failed_before(self, work: _Work, held: Mapping[int, Transfer], leg: str) -> Outcome:
        chain = work.chain
        counted = Outcome(OutcomeKind.REDELIVERED, chain.attempt, chain.transaction)
        if not _may_announce(work.item):
            return counted
        if any(number in held for number in self._later_ids(work)):
            return counted
        return _rejected(chain, Rejection(leg, "rejected_before"))


_DIVERTED: Final = "an account is closed: the money went to suspense"
_OTHER_RULEBOOK: Final = "this record posted other money under an earlier rulebook"


def _read_back(asked: Chain, filled: Chain) -> Iterator[AccountRef]:
    """The accounts that were filled in: they may be known by less than their whole key."""
    for before, after in zip(asked.legs, filled.legs, strict=True):
        for was, ref in ((before.debit, after.debit), (before.credit, after.credit)):
            if was is not None and was.id < 0 and ref is not None and ref.key.startswith("#"):
                yield ref


def _without_ledger(item: Item, limit: int) -> Outcome | None:
    """The outcome of what is not sent; limit: the legs that one request takes."""
    asked = item.asked
    if isinstance(asked, Chain):
        if len(asked.legs) <= limit:
            return None
        detail = f"{len(asked.legs)} legs, and the ledger takes {limit} in one request"
        return table.ledger_dead_letter(asked, Reason.TOO_MANY_LEGS, detail)
    if isinstance(asked, Dead):
        return Outcome(OutcomeKind.DEAD, dead=asked)
    return Outcome(OutcomeKind(asked.outcome))


def _told(outcome: Outcome | None) -> Outcome:
    if outcome is None:
        raise BrokenInvariant("an event was left without an outcome")
    return outcome


def _rejected(chain: Chain, rejection: Rejection) -> Outcome:
    return Outcome(OutcomeKind.REJECTED, chain.attempt, chain.transaction, rejection=rejection)


def _may_announce(item: Item) -> bool:
    one = item.assignment
    return table.announce_rejected_before(offset=item.offset, redo=one.redo, tries=one.tries)


def _present(held: Mapping[int, Transfer], number: int) -> Transfer:
    if number not in held:
        raise BrokenInvariant("a transfer that was just created was not found")
    return held[number]


def _same(work: _Work, stored: list[Transfer], reserved: Mapping[int, Transfer]) -> bool:
    count = len(stored)
    return all(
        table.same_money(
            leg,
            held,
            number=number,
            count=count,
            tag=work.chain.tag,
            reserved=reserved.get(work.pending.get(number, 0)),
        )
        for number, (leg, held) in enumerate(zip(work.chain.legs, stored, strict=True))
    )
