"""Chains posted again in an empty ledger, as their announcements say that they were.

The invariant: a chain is posted at its own attempt, with the amounts and accounts that were
announced, and what the ledger then holds is what was announced; else it ends with one sentence. Ids
that the lost ledger had refused are spent here too, so that a redelivery cannot post them. Asks the
ledger; knows no topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from worker.core.chain import BALANCING, LINKED, AccountRef, Chain, Leg
from worker.core.errors import BrokenInvariant, UsageError
from worker.core.event import Event
from worker.core.ids import account_id, hex_id, position_base
from worker.core.outcome import Verdict, chain_result
from worker.core.packing import flaw, pack_chain
from worker.core.ports import Ledger
from worker.core.translate import Translator
from worker.core.wire import CreateTransferStatus, Transfer, pack_transfer
from worker.jobs.rebuild.announced import AnnouncedChain, AnnouncedLeg, CandidateRecord, Refusal
from worker.jobs.times import NANOSECONDS
from worker.stages.decode import Decoder
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
    """A chain to post, where its record is, and how it was announced. spent: ids refused before."""

    chain: Chain
    position: int
    pending: dict[int, int]
    told: Sequence[AnnouncedLeg]
    spent: list[Leg]


@dataclass(slots=True)
class Reposter:
    """Posts chains again.

    roles: topic to role. group: the live one, whose positions the transfers get. now_ns: what has
    expired by then is posted last. expired: how many chains that was. unfit: the events of those
    that no longer fit into the balance. spent: ids that were spent.
    """

    ledger: Ledger
    rules: Translator
    decoder: Decoder
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
        if len(made.told) > self.ledger.batch_max:
            raise _otherwise(
                made.told[0], f"this ledger takes {self.ledger.batch_max} legs in one request"
            )
        if self._size + len(made.told) > self.ledger.batch_max:
            self._flush(late=late)
        self._waiting.append(made)
        self._size += len(made.told)

    def _had_expired(self, made: Reposted) -> bool:
        """Had the whole chain come to nothing by now?"""
        return all(
            told.unsettled
            and leg.spec.timeout
            and told.posted_ns + leg.spec.timeout * NANOSECONDS <= self.now_ns
            for told, leg in zip(made.told, made.chain.legs, strict=True)
        )

    def spend(self, refusals: Iterable[Refusal]) -> None:
        """Spend the ids of events that the lost ledger refused, at each attempt they had."""
        legs: list[Leg] = []
        for attempt, source in refusals:
            (event,) = self.decoder.decode_all([source.value])
            if isinstance(event, Event) and source.topic in self.roles:
                role = self.roles[source.topic]
                legs += [
                    one.legs[0] for one in variants(self.rules, event, role=role, last=attempt)
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

    def _of(self, source: CandidateRecord, told: Sequence[AnnouncedLeg]) -> Reposted | None:
        """This record's chain at the attempt that was announced; None when its ids are others."""
        (event,) = self.decoder.decode_all([source.value])
        if not isinstance(event, Event) or source.topic not in self.roles:
            return None
        wanted = [one.transfer_id for one in told]
        earlier: list[Leg] = []
        role = self.roles[source.topic]
        for found in variants(self.rules, event, role=role, last=told[0].attempt):
            if [hex_id(leg.id) for leg in found.legs] == wanted:
                made = self._as_told(found, told)
                return made._replace(position=self._position(source), spent=earlier)
            earlier.append(found.legs[0])
        return None

    def _position(self, source: CandidateRecord) -> int:
        """The record's position in the live group; 0, of no record, where it is not known."""
        if source.offset < 0:
            return 0
        base = position_base(group=self.group, topic=source.topic, partition=source.partition)
        return base | source.offset

    def _as_told(self, chain: Chain, told: Sequence[AnnouncedLeg]) -> Reposted:
        legs = []
        pending: dict[int, int] = {}
        last = len(told) - 1
        for number, (leg, one) in enumerate(zip(chain.legs, told, strict=True)):
            spec = leg.spec
            flags = spec.flags | (LINKED if number < last else 0)
            amount = int(one.amount)
            same = flags == one.flags and leg.currency.ledger == one.ledger
            if leg.pending_ids:
                pending[number] = int(one.pending_id or "0", 16)
                same = same and pending[number] in leg.pending_ids
                legs.append(leg)
            else:
                balancing = bool(spec.flags & BALANCING)
                same = same and one.code == spec.code and (balancing or leg.amount == amount)
                same = same and amount <= leg.amount
                sides = (self._side(leg.debit, one, "debit"), self._side(leg.credit, one, "credit"))
                legs.append(leg._replace(debit=sides[0], credit=sides[1], amount=amount))
            if not same:
                raise _otherwise(one, "the rulebook makes another transfer of it")
        return Reposted(chain._replace(legs=tuple(legs), needs=None), 0, pending, told, [])

    def _side(self, asked: AccountRef | None, told: AnnouncedLeg, side: str) -> AccountRef:
        """The account as the rulebook has it; one of an origin, as it was announced."""
        number = int(told.debit if side == "debit" else told.credit, 16)
        if asked is None or (asked.id >= 0 and asked.id != number):
            raise _otherwise(told, f"the rulebook names another {side} account")
        if asked.id == number:
            return asked
        name = told.debit_name if side == "debit" else told.credit_name
        key = told.debit_key if side == "debit" else told.credit_key
        declared = self.rules.rulebook.accounts.get(name)
        if declared and account_id(ledger=told.ledger, name=name, key=key) == number:
            return AccountRef(number, name, key, told.ledger, declared.code, declared.flags)
        # Its key is too long to be told; then the chain that it comes from has made it.
        ref = AccountRef(number, name, key, told.ledger, 0, 0)
        self._from_origin(ref, told)
        return ref

    def _from_origin(self, ref: AccountRef, told: AnnouncedLeg) -> None:
        if self._accounts.knows(ref.id):
            return
        self._flush(late=False)
        if not self.ledger.lookup_accounts([ref.id]):
            raise _otherwise(told, f"its account {ref.name} is not in the ledger")
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
            end = start + len(made.told)
            if self._posted(made, [one.status for one in results[start:end]], late=late):
                posted.append(made)
            start = end
        self._compare(posted)

    def _posted(self, made: Reposted, statuses: Sequence[int], *, late: bool) -> bool:
        said = chain_result(statuses)
        if said.verdict is Verdict.CREATED:
            self.chains += 1
            self.transfers += len(made.told)
            self.expired += late
            self._expires(made)
            return True
        if late and said.verdict in {Verdict.REJECTED, Verdict.FAILED_BEFORE}:
            self.unfit.append(made.told[0].event_id)
            return False
        raise _otherwise(
            made.told[said.leg_number], f"the ledger answered {said.reason()}", BEGIN_ANEW
        )

    def _expires(self, made: Reposted) -> None:
        for told, leg in zip(made.told, made.chain.legs, strict=True):
            if told.unsettled and leg.spec.timeout:
                at = self.now_ns + leg.spec.timeout * NANOSECONDS
                self.last_expiry_ns = max(self.last_expiry_ns, at)

    def _compare(self, posted: Sequence[Reposted]) -> None:
        """Where the ledger decides the amount, it decided as before."""
        asked = {
            leg.id: told
            for made in posted
            for leg, told in zip(made.chain.legs, made.told, strict=True)
            if leg.pending_ids or leg.spec.flags & BALANCING
        }
        for held in self.ledger.lookup_transfers(list(asked)) if asked else ():
            told = asked[held.id]
            if str(held.amount) != told.amount:
                raise _otherwise(
                    told, f"{told.amount} was announced, the ledger took {held.amount}", BEGIN_ANEW
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


def _otherwise(told: AnnouncedLeg, why: str, mend: str = "") -> UsageError:
    return UsageError(
        f"the transfer {told.transfer_id} of the event {told.event_id} cannot be posted as it was"
        f" announced: {why}{mend}"
    )
