"""Posts chains again in an empty ledger, exactly as they were announced.

Each is posted at its own attempt, with the announced amounts and accounts, and compared with what
the ledger then holds. Ids that the lost ledger had refused are burned here too, so that a
redelivery cannot post them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from worker.codecs.record_decoder import RecordDecoder
from worker.core.chain import BALANCING, LINKED, AccountRef, Chain, Leg
from worker.core.errors import BrokenInvariant, UsageError
from worker.core.event import Event
from worker.core.ids import account_id, hex_id, position_base
from worker.core.iso_times import NANOSECONDS
from worker.core.outcome import Verdict, chain_result
from worker.core.packing import flaw, pack_chain
from worker.core.ports import Ledger
from worker.core.translate import Translator
from worker.core.wire import CreateTransferStatus, Transfer, pack_transfer
from worker.jobs.rebuild.announced import (
    AnnouncedChain,
    AnnouncedLeg,
    CandidateRecord,
    RefusedAttempt,
)
from worker.stages.post.account_creator import AccountCreator
from worker.stages.post.variants import variants

NOBODY: Final = account_id(ledger=0, name="", key="")
"""No rulebook can declare it, so that a transfer from it always fails, and spends its id."""

SPENT: Final = frozenset(
    {CreateTransferStatus.DEBIT_ACCOUNT_NOT_FOUND, CreateTransferStatus.ID_ALREADY_FAILED}
)
BEGIN_ANEW: Final = (
    "; nothing can be taken back from a ledger: mend the cause and begin again with an empty one"
)


class Reposted(NamedTuple):
    """A chain to post, where its record is, and how it was announced.

    spent: ids refused before.
    """

    chain: Chain
    position: int
    pending: dict[int, int]
    announced: Sequence[AnnouncedLeg]
    spent: list[Leg]


@dataclass(slots=True)
class Reposter:
    """Posts chains again.

    roles: topic to role.
    group: the live one, whose positions the transfers get.
    now_ns: what has expired by then is posted last.
    expired: how many chains that was.
    unfit: the events of those that no longer fit into the balance.
    spent: ids that were burned.
    """

    ledger: Ledger
    rules: Translator
    records: RecordDecoder
    roles: Mapping[str, str]
    group: str
    now_ns: int
    transfers: int = 0
    chains: int = 0
    expired: int = 0
    spent: int = 0
    unfit: list[str] = field(default_factory=list)
    last_expiry_ns: int = 0
    _accounts: AccountCreator = field(init=False)
    _waiting: list[Reposted] = field(default_factory=list)
    _size: int = 0

    def __post_init__(self) -> None:
        self._accounts = AccountCreator(self.ledger)

    def post(self, steps: Iterable[AnnouncedChain], *, late: bool = False) -> None:
        """Post chains in order; late: the reservations that had expired, which came to nothing.

        Raises:
            UsageError: the rulebook or the ledger does not give what was announced.
        """
        for step in steps:
            if late and len(step.legs) < step.legs[0].legs:
                continue
            made = self._made(step)
            if self._had_expired(made) == late:
                self._add(made, late=late)
        self._flush(late=late)

    def _add(self, made: Reposted, *, late: bool) -> None:
        if len(made.announced) > self.ledger.batch_max:
            raise _differs(
                made.announced[0], f"this ledger takes {self.ledger.batch_max} legs in one request"
            )
        if self._size + len(made.announced) > self.ledger.batch_max:
            self._flush(late=late)
        self._waiting.append(made)
        self._size += len(made.announced)

    def _had_expired(self, made: Reposted) -> bool:
        """Had the whole chain come to nothing by now?"""
        return all(
            announced.unsettled
            and leg.spec.timeout
            and announced.posted_ns + leg.spec.timeout * NANOSECONDS <= self.now_ns
            for announced, leg in zip(made.announced, made.chain.legs, strict=True)
        )

    def spend(self, refusals: Iterable[RefusedAttempt]) -> None:
        """Spend the ids of events that the lost ledger refused, at each attempt they had."""
        legs: list[Leg] = []
        for attempt, source in refusals:
            role = self.roles.get(source.topic)
            if role is None:
                continue
            event = self.records.event_in(source.value, role)
            if isinstance(event, Event):
                legs += [
                    variant.legs[0]
                    for variant in variants(self.rules, event, role=role, last=attempt)
                ]
            if len(legs) >= self.ledger.batch_max:
                self._spend(legs)
                legs = []
        self._spend(legs)

    # One chain

    def _made(self, step: AnnouncedChain) -> Reposted:
        """The chain of the record that was posted: another one of the same id may ask otherwise."""
        problem: UsageError | None = None
        for source in step.sources:
            try:
                made = self._of(source, step.legs)
            except UsageError as why:
                problem = problem or why
                continue
            if made is not None:
                return made
        first = step.legs[0]
        raise problem or UsageError(
            f"the rulebook makes other transfers of the event {first.event_id} than the outbox"
            f" tells ({first.transfer_id} and {len(step.legs) - 1} more): is it the one that was"
            " in force?"
        )

    def _of(self, source: CandidateRecord, announced: Sequence[AnnouncedLeg]) -> Reposted | None:
        """This record's chain at the attempt that was announced; None when its ids are others."""
        role = self.roles.get(source.topic)
        event = None if role is None else self.records.event_in(source.value, role)
        if role is None or not isinstance(event, Event):
            return None
        wanted = [leg.transfer_id for leg in announced]
        earlier: list[Leg] = []
        for found in variants(self.rules, event, role=role, last=announced[0].attempt):
            if [hex_id(leg.id) for leg in found.legs] == wanted:
                made = self._as_announced(found, announced)
                return made._replace(position=self._position(source), spent=earlier)
            earlier.append(found.legs[0])
        return None

    def _position(self, source: CandidateRecord) -> int:
        """The record's position in the live group; 0, of no record, where it is not known."""
        if source.offset < 0:
            return 0
        base = position_base(group=self.group, topic=source.topic, partition=source.partition)
        return base | source.offset

    def _as_announced(self, chain: Chain, announced: Sequence[AnnouncedLeg]) -> Reposted:
        legs = []
        pending: dict[int, int] = {}
        last = len(announced) - 1
        for number, (leg, announced_leg) in enumerate(zip(chain.legs, announced, strict=True)):
            spec = leg.spec
            flags = spec.flags | (LINKED if number < last else 0)
            amount = int(announced_leg.amount)
            same = flags == announced_leg.flags and leg.currency.ledger == announced_leg.ledger
            if leg.pending_ids:
                pending[number] = int(announced_leg.pending_id or "0", 16)
                same = same and pending[number] in leg.pending_ids
                legs.append(leg)
            else:
                balancing = bool(spec.flags & BALANCING)
                same = (
                    same and announced_leg.code == spec.code and (balancing or leg.amount == amount)
                )
                same = same and amount <= leg.amount
                sides = (
                    self._side(leg.debit, announced_leg, "debit"),
                    self._side(leg.credit, announced_leg, "credit"),
                )
                legs.append(leg._replace(debit=sides[0], credit=sides[1], amount=amount))
            if not same:
                raise _differs(announced_leg, "the rulebook makes another transfer of it")
        return Reposted(chain._replace(legs=tuple(legs), needs=None), 0, pending, announced, [])

    def _side(self, requested: AccountRef | None, announced: AnnouncedLeg, side: str) -> AccountRef:
        """The account as the rulebook has it; one of an origin, as it was announced."""
        number = int(announced.debit if side == "debit" else announced.credit, 16)
        if requested is None or (requested.id >= 0 and requested.id != number):
            raise _differs(announced, f"the rulebook names another {side} account")
        if requested.id == number:
            return requested
        name = announced.debit_name if side == "debit" else announced.credit_name
        key = announced.debit_key if side == "debit" else announced.credit_key
        declared = self.rules.rulebook.accounts.get(name)
        if declared and account_id(ledger=announced.ledger, name=name, key=key) == number:
            return AccountRef(number, name, key, announced.ledger, declared.code, declared.flags)
        # Its key is too long to be announced: the chain that it comes from has created it.
        ref = AccountRef(number, name, key, announced.ledger, 0, 0)
        self._from_origin(ref, announced)
        return ref

    def _from_origin(self, ref: AccountRef, announced: AnnouncedLeg) -> None:
        if self._accounts.knows(ref.id):
            return
        self._flush(late=False)
        if not self.ledger.lookup_accounts([ref.id]):
            raise _differs(announced, f"its account {ref.name} is not in the ledger")
        self._accounts.remember([ref])

    # One request

    def _flush(self, *, late: bool) -> None:
        batch, self._waiting, self._size = self._waiting, [], 0
        if not batch:
            return
        conflicts = self._accounts.make(made.chain for made in batch)
        if conflicts:
            raise UsageError(
                f"{len(conflicts):,} accounts are in the ledger otherwise than the rulebook"
                f" declares them, {hex_id(min(conflicts))} for one"
            )
        self._spend([leg for made in batch for leg in made.spent])
        results = self.ledger.create_transfers(b"".join(map(_rows, batch)))
        start = 0
        posted = []
        for made in batch:
            end = start + len(made.announced)
            if self._posted(made, [result.status for result in results[start:end]], late=late):
                posted.append(made)
            start = end
        self._compare(posted)

    def _posted(self, made: Reposted, statuses: Sequence[int], *, late: bool) -> bool:
        said = chain_result(statuses)
        if said.verdict is Verdict.CREATED:
            self.chains += 1
            self.transfers += len(made.announced)
            self.expired += late
            self._expires(made)
            return True
        if late and said.verdict in {Verdict.REJECTED, Verdict.FAILED_BEFORE}:
            self.unfit.append(made.announced[0].event_id)
            return False
        raise _differs(
            made.announced[said.leg_number], f"the ledger answered {said.reason()}", BEGIN_ANEW
        )

    def _expires(self, made: Reposted) -> None:
        for announced, leg in zip(made.announced, made.chain.legs, strict=True):
            if announced.unsettled and leg.spec.timeout:
                at = self.now_ns + leg.spec.timeout * NANOSECONDS
                self.last_expiry_ns = max(self.last_expiry_ns, at)

    def _compare(self, posted: Sequence[Reposted]) -> None:
        """Where the ledger decides the amount, it decided as before."""
        requested = {
            leg.id: announced
            for made in posted
            for leg, announced in zip(made.chain.legs, made.announced, strict=True)
            if leg.pending_ids or leg.spec.flags & BALANCING
        }
        for stored in self.ledger.lookup_transfers(list(requested)) if requested else ():
            announced = requested[stored.id]
            if str(stored.amount) != announced.amount:
                raise _differs(
                    announced,
                    f"{announced.amount} was announced, the ledger took {stored.amount}",
                    BEGIN_ANEW,
                )

    def _spend(self, legs: Sequence[Leg]) -> None:
        if not legs:
            return
        rows = [
            Transfer(
                id=leg.id,
                debit_account_id=NOBODY,
                credit_account_id=NOBODY + 1,
                amount=1,
                ledger=leg.currency.ledger,
                code=1,
            )
            for leg in legs
        ]
        for result in self.ledger.create_transfers(b"".join(map(pack_transfer, rows))):
            status = CreateTransferStatus(result.status)
            if status not in SPENT and not status.name.startswith("EXISTS"):
                raise BrokenInvariant(f"spending an id: the ledger answered {status.name.lower()}")
            self.spent += status is CreateTransferStatus.DEBIT_ACCOUNT_NOT_FOUND


def _rows(made: Reposted) -> bytes:
    if wrong := flaw(made.chain):
        raise BrokenInvariant(wrong)
    return pack_chain(made.chain, position=made.position, pending=made.pending)


def _differs(announced: AnnouncedLeg, why: str, mend: str = "") -> UsageError:
    return UsageError(
        f"the transfer {announced.transfer_id} of the event {announced.event_id} cannot be posted"
        f" as it was announced: {why}{mend}"
    )
