"""Post: a batch's chains go to the ledger in one request, and come back as outcomes.

The invariant: nothing is posted before its accounts exist and its predecessors were found, so that
no id is burned by our own haste. It blocks: the pipeline runs it in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from worker.core import outcome as table
from worker.core.chain import AccountRef, Chain
from worker.core.errors import BrokenInvariant
from worker.core.event import Dead, Reason
from worker.core.outcome import Outcome, OutcomeKind, Verdict
from worker.core.packing import flaw, pack_chain
from worker.core.ports import Ledger, newest_timestamp
from worker.core.translate import Translator
from worker.core.wire import ROW_BYTES, Transfer
from worker.stages.item import Item
from worker.stages.post.account_creator import AccountCreator
from worker.stages.post.find_predecessors import PredecessorLookup
from worker.stages.post.judge import Judge, Submission
from worker.stages.post.readback import PostedLegs


def _announceable(_: Chain) -> str:
    """Nothing is announced, or whatever there is can be."""
    return ""


class Poster:
    """Posts batches to one ledger, one request at a time.

    parked_max: how often an event may be parked before it is given up.
    unannounceable: why a chain could not be announced, and so is not posted; empty when it can.
    """

    def __init__(
        self,
        ledger: Ledger,
        rules: Translator,
        *,
        parked_max: int,
        unannounceable: Callable[[Chain], str] = _announceable,
    ) -> None:
        self._ledger = ledger
        self._unannounceable = unannounceable
        self._parked_max = parked_max
        self._accounts = AccountCreator(ledger)
        posted_legs = PostedLegs(ledger, rules)
        self._predecessors = PredecessorLookup(ledger, rules, posted_legs)
        self._judge = Judge(ledger, rules, posted_legs)

    def newest_timestamp(self) -> int:
        """The ledger's newest transfer timestamp in nanoseconds; 0 when it is empty."""
        return newest_timestamp(self._ledger)

    def post(self, items: Sequence[Item]) -> list[Outcome]:
        """The outcome of every item, in order.

        Raises:
            BrokenInvariant: an answer that the ledger can give only to a bug of ours.
            DependencyUnavailable: the ledger refused the connection or was closed.
        """
        limit = self._ledger.batch_max
        outcomes: list[Outcome | None] = [self._without_ledger(item, limit) for item in items]
        remaining = [
            (number, Submission(item, item.translated))
            for number, item in enumerate(items)
            if outcomes[number] is None and isinstance(item.translated, Chain)
        ]
        while remaining:
            self._request([work for _, work in remaining])
            remaining = [
                again for numbered in remaining if (again := self._settle(numbered, outcomes))
            ]
        return [_decided(outcome) for outcome in outcomes]

    def _without_ledger(self, item: Item, limit: int) -> Outcome | None:
        """The outcome of what is not sent; limit: the legs that one request takes."""
        translated = item.translated
        if isinstance(translated, Chain):
            if len(translated.legs) <= limit:
                problem = self._unannounceable(translated)
                return (
                    table.ledger_dead_letter(translated, Reason.TOO_LARGE, problem)
                    if problem
                    else None
                )
            detail = f"{len(translated.legs)} legs, and the ledger takes {limit} in one request"
            return table.ledger_dead_letter(translated, Reason.TOO_MANY_LEGS, detail)
        if isinstance(translated, Dead):
            return Outcome(OutcomeKind.DEAD, dead=translated)
        return Outcome(OutcomeKind(translated.outcome))

    def _settle(
        self, numbered: tuple[int, Submission], outcomes: list[Outcome | None]
    ) -> tuple[int, Submission] | None:
        """Keep the outcome, or try what is next after a refusal.

        That is the same chain to its suspense accounts, what is more than the ledger has of it,
        else the next attempt of a redriven event.
        """
        number, work = numbered
        outcome = _decided(work.outcome)
        if outcome.kind is OutcomeKind.POSTED:
            outcomes[number] = outcome
            return None
        attempt = work.chain.attempt
        if work.chain.suspends and work.answer is not None and table.diverts(work.answer):
            diverted = self._judge.again(work, attempt, diverted=True)
            return number, Submission(work.item, diverted, more=work.more)
        if outcome.kind is OutcomeKind.CONFLICT and (more := self._judge.what_is_more(work)):
            work.item.translated = more  # what is announced tells its fact
            return number, Submission(work.item, more, more=True)
        refused = work.answer is not None and work.answer.verdict in {
            Verdict.REJECTED,
            Verdict.FAILED_BEFORE,
        }
        if refused and attempt < work.item.attempts:
            again = self._judge.again(work, attempt + 1)
            return number, Submission(work.item, again, more=work.more)
        outcomes[number] = work.outcome
        return None

    def _request(self, submissions: list[Submission]) -> None:
        """One round: predecessors, accounts, transfers, and what must be looked up after."""
        self._find_predecessors(submissions)
        self._open_accounts([work for work in submissions if work.outcome is None])
        reserved = self._find_pending(submissions)
        self._create([work for work in submissions if work.outcome is None])
        transfers = self._judge.look_up(submissions)
        for work in submissions:
            if work.outcome is None:
                work.outcome = self._judge.outcome(work, transfers, reserved)

    def _open_accounts(self, submissions: list[Submission]) -> None:
        conflicts = self._accounts.make(work.chain for work in submissions)
        for work in submissions if conflicts else ():
            for account in work.chain.accounts():
                if account.id in conflicts:
                    detail = f"account {account.name} differs in the ledger from its declaration"
                    work.outcome = table.ledger_dead_letter(work.chain, Reason.CONFLICT, detail)

    # Predecessors

    def _find_predecessors(self, submissions: list[Submission]) -> None:
        """Take the accounts of earlier chains; who must wait for one has its outcome."""
        waiting = [work for work in submissions if work.chain.needs is not None]
        if not waiting:
            return
        resolved = self._predecessors.resolve([self._patient(work) for work in waiting])
        for work, found in zip(waiting, resolved, strict=True):
            if isinstance(found, Dead):
                work.outcome = self._unready(work, found)
            else:
                self._accounts.remember(_read_back(work.chain, found))
                work.chain = found

    def _patient(self, work: Submission) -> Chain:
        """The chain, which no longer waits for an origin that was waited for long enough."""
        chain = work.chain
        if chain.needs is None or work.item.assignment.tries < self._parked_max:
            return chain
        return chain._replace(needs=chain.needs.given_up())

    def _find_pending(self, submissions: list[Submission]) -> Mapping[int, Transfer]:
        """The pending transfers that these chains settle, all attempts in one request."""
        wanted = {
            pending: None
            for work in submissions
            if work.outcome is None
            for leg in work.chain.legs
            for pending in leg.pending_ids
        }
        if not wanted:
            return {}
        found = {transfer.id: transfer for transfer in self._ledger.lookup_transfers(list(wanted))}
        for work in submissions:
            if work.outcome is None:
                self._bind(work, found)
        return found

    def _bind(self, work: Submission, found: Mapping[int, Transfer]) -> None:
        for number, leg in enumerate(work.chain.legs):
            if not leg.pending_ids:
                continue
            pending = next((id_ for id_ in leg.pending_ids if id_ in found), None)
            if pending is None:
                detail = f"leg {leg.spec.name}: the transfer it settles is not in the ledger"
                work.outcome = self._unready(work, Dead(Reason.PREDECESSOR_MISSING, detail))
                return
            work.pending[number] = pending

    def _unready(self, work: Submission, why: Dead) -> Outcome:
        """It waits for what must come first; for anything else waiting would not help."""
        if why.reason is not Reason.PREDECESSOR_MISSING:
            return table.ledger_dead_letter(work.chain, why.reason, why.detail)
        tries = work.item.assignment.tries
        return table.missing_predecessor(work.chain, why, tries=tries, tries_max=self._parked_max)

    # Transfers

    def _create(self, submissions: list[Submission]) -> None:
        if not submissions:
            return
        rows = b"".join(self._rows(work) for work in submissions)
        results = self._ledger.create_transfers(rows)
        if len(results) * ROW_BYTES != len(rows):
            raise BrokenInvariant("the ledger answered another number of transfers")
        timestamps, statuses = zip(*results, strict=True)
        start = 0
        for work in submissions:
            end = start + len(work.chain.legs)
            work.timestamps = timestamps[start:end]
            work.answer = table.chain_result(statuses[start:end])
            if work.answer.verdict is Verdict.BROKEN:
                leg = work.chain.legs[work.answer.leg_number].spec.name
                raise BrokenInvariant(f"leg {leg}: the ledger answered {work.answer.reason()}")
            start = end

    def _rows(self, work: Submission) -> bytes:
        if wrong := flaw(work.chain):
            raise BrokenInvariant(wrong)
        return pack_chain(work.chain, position=work.position, pending=work.pending)


def _read_back(unfilled: Chain, filled: Chain) -> Iterator[AccountRef]:
    """The accounts that were filled in: they may be known by less than their whole key."""
    for before, after in zip(unfilled.legs, filled.legs, strict=True):
        for was, ref in ((before.debit, after.debit), (before.credit, after.credit)):
            if was is not None and was.id < 0 and ref is not None and ref.key.startswith("#"):
                yield ref


def _decided(outcome: Outcome | None) -> Outcome:
    if outcome is None:
        raise BrokenInvariant("an event was left without an outcome")
    return outcome
