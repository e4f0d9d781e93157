"""What the ledger's answer to a chain means: its outcome, with the posted legs read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from worker.core import outcome as table
from worker.core.chain import BALANCING, LINKED, Chain, new
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
from worker.core.ports import Ledger
from worker.core.translate import Translator
from worker.core.wire import Transfer
from worker.stages.item import Item
from worker.stages.post.readback import PostedLegs
from worker.stages.post.variants import excess


class Submission:
    """One chain on its way through a request.

    more: it books what is more than the ledger had of its fact.
    stored: the first transfer of what the ledger has of its fact, where that is other money.
    pending: see `pack_chain`.
    timestamps: the ledger's, of each leg, in nanoseconds.
    """

    __slots__ = ("answer", "chain", "item", "more", "outcome", "pending", "stored", "timestamps")

    def __init__(self, item: Item, chain: Chain, *, more: bool = False) -> None:
        self.more = more
        self.stored: Transfer | None = None
        self.item = item
        self.chain = chain
        self.pending: dict[int, int] = {}
        self.answer: ChainResult | None = None
        self.timestamps: Sequence[int] = ()
        self.outcome: Outcome | None = None

    @property
    def position(self) -> int:
        """The record's, as its transfers carry it in `user_data_64`."""
        return self.item.assignment.base | self.item.offset


class Judge:
    """Says what became of the chains of one request."""

    def __init__(self, ledger: Ledger, rules: Translator, posted_legs: PostedLegs) -> None:
        self._ledger = ledger
        self._rules = rules
        self._posted_legs = posted_legs

    def again(self, work: Submission, attempt: int, *, diverted: bool = False) -> Chain:
        """The event's chain at another attempt, or to its suspense accounts.

        The event's body is read for it and let go: a whole batch may be sent again.
        """
        chain = self._variant(work, attempt, diverted=diverted)
        work.chain.event.release()
        return chain

    def what_is_more(self, work: Submission) -> Chain | None:
        """The chain of what is more than the ledger has of the fact; None where nothing is.

        An event that tells as much as the ledger has, or less, is a redelivery.
        """
        chain = work.chain
        beyond = None if work.more else excess(chain, work.stored)
        if beyond is None:
            return None
        work.outcome = Outcome(OutcomeKind.REDELIVERED, chain.attempt, chain.transaction)
        if beyond <= 0:
            return None
        role, event = work.item.role, chain.event
        found = self._rules.translate(event, role=role, attempt=chain.attempt, more=True)
        event.release()
        if isinstance(found, Dead):
            work.outcome = table.ledger_dead_letter(chain, found.reason, found.detail)
        return found if isinstance(found, Chain) else None

    def _variant(self, work: Submission, attempt: int, *, diverted: bool) -> Chain:
        role, event = work.item.role, work.chain.event
        chain = self._rules.translate(
            event, role=role, attempt=attempt, diverted=diverted, more=work.more
        )
        if not isinstance(chain, Chain):
            raise BrokenInvariant("an event became something else at another attempt")
        return chain

    def look_up(self, submissions: Iterable[Submission]) -> Mapping[int, Transfer]:
        """The transfers by id whose amounts, or whose posting record, the answers do not say."""
        wanted: list[int] = []
        for work in submissions:
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
        return {transfer.id: transfer for transfer in self._ledger.lookup_transfers(wanted)}

    def _later_ids(self, work: Submission) -> list[int]:
        variants = (False, True) if work.chain.suspends or work.chain.diverted else (False,)
        found = [
            self._variant(work, attempt, diverted=diverted).legs[0].id
            for attempt in range(work.chain.attempt + 1, ATTEMPT_MAX + 1)
            for diverted in variants
        ]
        work.chain.event.release()
        return found

    # What the answers mean

    def outcome(
        self, work: Submission, transfers: Mapping[int, Transfer], reserved: Mapping[int, Transfer]
    ) -> Outcome:
        """The outcome of an answered chain.

        transfers: what `look_up` found.
        reserved: the pending transfers that the chains settle.
        """
        answer, chain = work.answer, work.chain
        if answer is None:
            raise BrokenInvariant("a chain was neither posted nor refused")
        if answer.verdict is Verdict.CREATED:
            return self._posted(chain, self._created_legs(work, transfers))
        leg = chain.legs[answer.leg_number].spec.name
        match answer.verdict:
            case Verdict.EXISTS:
                return self._existing(work, transfers, reserved)
            case Verdict.REJECTED:
                return _rejected(chain, Rejection(leg, answer.reason()))
            case Verdict.FAILED_BEFORE:
                return self._failed_before(work, transfers, leg)
            case verdict:
                return table.ledger_dead_letter(
                    chain, table.DEAD[verdict], f"leg {leg}: {answer.reason()}"
                )

    def _posted(self, chain: Chain, legs: tuple[PostedLeg, ...], alert: str = "") -> Outcome:
        alert = alert or (_DIVERTED if chain.diverted else "")
        if chain.alert:
            alert = f"{alert}; {chain.alert}" if alert else chain.alert
        fields = (OutcomeKind.POSTED, chain.attempt, chain.transaction, legs, None, None, alert)
        return new(Outcome, fields)

    def _created_legs(
        self, work: Submission, transfers: Mapping[int, Transfer]
    ) -> tuple[PostedLeg, ...]:
        """What was just created. A flat loop: it runs for every leg of the hot path."""
        last = len(work.chain.legs) - 1
        posted = []
        for number, leg in enumerate(work.chain.legs):
            spec, currency, leg_id, debit, credit, amount, _ = leg
            stamp = work.timestamps[number]
            flags = spec.flags
            if debit is None or credit is None or flags & BALANCING:
                posted.append(self._posted_legs.leg(leg, _present(transfers, leg_id)))
                continue
            if number < last:
                flags |= LINKED
            # fmt: off
            posted.append(new(PostedLeg, (
                spec, currency, leg_id, debit, credit, amount, 0, spec.code, flags, stamp,
                number, last + 1, spec.timeout,
            )))
            # fmt: on
        return tuple(posted)

    def _existing(
        self, work: Submission, transfers: Mapping[int, Transfer], reserved: Mapping[int, Transfer]
    ) -> Outcome:
        chain = work.chain
        stored = [transfers[leg.id] for leg in chain.legs if leg.id in transfers]
        if not stored:
            raise BrokenInvariant("a chain that exists was not found")
        rule = table.existing_verdict(
            same=table.same_chain(chain, stored, reserved),
            stored_position=stored[0].user_data_64,
            stored_at=stored[0].timestamp,
            position=work.position,
            since=work.item.assignment.since,
            earlier=work.item.earlier,
        )
        match rule:
            case ExistingChain.ANNOUNCE:
                return self._posted(chain, self._posted_legs.legs(chain, stored))
            case ExistingChain.COUNT:
                return Outcome(OutcomeKind.REDELIVERED, chain.attempt, chain.transaction)
            case ExistingChain.ANNOUNCE_AS_STORED:
                legs = self._posted_legs.legs(
                    chain, self._posted_legs.posted_by(chain, stored[0].user_data_64)
                )
                return self._posted(chain, legs, _OTHER_RULEBOOK)
            case ExistingChain.COUNT_AS_STORED:
                return Outcome(
                    OutcomeKind.REDELIVERED, chain.attempt, chain.transaction, alert=_OTHER_RULEBOOK
                )
            case ExistingChain.CONFLICT:
                work.stored = transfers.get(chain.legs[0].id)
                detail = f"the ledger holds other money under the key of {chain.transaction}"
                return table.ledger_dead_letter(chain, Reason.CONFLICT, detail)

    def _failed_before(
        self, work: Submission, transfers: Mapping[int, Transfer], leg: str
    ) -> Outcome:
        chain = work.chain
        counted = Outcome(OutcomeKind.REDELIVERED, chain.attempt, chain.transaction)
        if not _may_announce(work.item):
            return counted
        if any(number in transfers for number in self._later_ids(work)):
            return counted
        return _rejected(chain, Rejection(leg, "rejected_before"))


_DIVERTED: Final = "an account is closed: the money went to suspense"
_OTHER_RULEBOOK: Final = "this record posted other money under an earlier rulebook"


def _rejected(chain: Chain, rejection: Rejection) -> Outcome:
    return Outcome(OutcomeKind.REJECTED, chain.attempt, chain.transaction, rejection=rejection)


def _may_announce(item: Item) -> bool:
    assignment = item.assignment
    return table.announce_rejected_before(
        offset=item.offset, redo=assignment.redo, tries=assignment.tries
    )


def _present(transfers: Mapping[int, Transfer], number: int) -> Transfer:
    if number not in transfers:
        raise BrokenInvariant("a transfer that was just created was not found")
    return transfers[number]
