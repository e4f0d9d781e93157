"""What a replay would post: each record compared with the ledger, counted once under one class.

What the ledger refused leaves no trace in it: that comes from the rejected topic.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from worker.core.chain import Chain
from worker.core.event import Dead, Event
from worker.core.ports import Record, position_of
from worker.jobs.batched import batched
from worker.stages.decode import EventReader
from worker.stages.post.ledger_status import ChainStatus, LedgerStatus, RequestedChain

PORTION: Final = 1000
"""Records that are looked up together."""

LISTED_MAX: Final = 10_000
"""Items that are listed; all are counted."""

CLASSES: Final = (
    "new",
    "waiting",
    "exists",
    "repeated",
    "rejected",
    "conflict",
    "other_ids",
    "dead",
    "ignored",
    "nothing_to_post",
)
"""What a record is counted as:

new: would be posted.
waiting: its predecessor is in neither ledger nor replay.
exists: in the ledger as the rulebook has it.
repeated: new, and met before in this replay.
rejected: the ledger refused it.
conflict: other money under its ids.
other_ids: the fact is in the ledger under other ids.
"""

DIFFERING: Final = frozenset({"conflict", "other_ids"})


class PlanItem(NamedTuple):
    """One record that a person should look at."""

    kind: str
    transaction: str
    event_id: str
    origin: str


@dataclass(slots=True)
class ReplayPlan:
    """Counts by transaction and class, and the items that differ."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    items: list[PlanItem] = field(default_factory=list)

    def add(self, item: PlanItem) -> None:
        """Count one record."""
        self.counts[item.transaction][item.kind] += 1
        if item.kind in DIFFERING and len(self.items) < LISTED_MAX:
            self.items.append(item)

    def total(self) -> Counter[str]:
        """All transactions together."""
        return sum(self.counts.values(), Counter())


class _Read(NamedTuple):
    """A record decoded and translated."""

    record: Record
    found: Event | Dead
    answer: Chain | str
    role: str


@dataclass(slots=True)
class ReplayPlanner:
    """Plans a replay.

    roles: input topic to role.
    rejected: the ids of events that the ledger refused.
    """

    reader: EventReader
    ledger_status: LedgerStatus
    roles: dict[str, str]
    rejected: Collection[str]
    plan: ReplayPlan = field(default_factory=ReplayPlan)
    _new: set[int] = field(default_factory=set)

    def read(self, records: Iterable[Record]) -> ReplayPlan:
        """Every record, in order."""
        for portion in batched(records, PORTION):
            self._take(portion)
        return self.plan

    def _take(self, portion: list[Record]) -> None:
        roles = [self.roles[record.topic()] for record in portion]
        reads = [
            self._translated(record, found)
            for record, found in zip(portion, self.reader.decode(portion, roles), strict=True)
        ]
        requests = [
            RequestedChain(read.answer, read.role)
            for read in reads
            if isinstance(read.answer, Chain)
        ]
        statuses = iter(self.ledger_status.of(requests))
        for read in reads:
            if isinstance(read.answer, Chain):
                kind = self._kind(read.answer, next(statuses))
                self.plan.add(_item(read, kind, read.answer.transaction))
            else:
                name = read.found.type if isinstance(read.found, Event) else ""
                self.plan.add(_item(read, read.answer, name))

    def _translated(self, record: Record, found: Event | Dead) -> _Read:
        role = self.roles[record.topic()]
        answer, _ = self.reader.translate(found, record, role=role)
        if isinstance(answer, Chain):
            return _Read(record, found, answer, role)
        return _Read(record, found, "dead" if isinstance(answer, Dead) else answer.outcome, role)

    def _kind(self, chain: Chain, status: ChainStatus) -> str:
        """What becomes of a chain; a replay makes some of what later records wait for."""
        if status is ChainStatus.WAITING and self._comes(chain):
            status = ChainStatus.NEW
        if status not in {ChainStatus.NEW, ChainStatus.WAITING}:
            return status.value
        if chain.event.id in self.rejected:
            return "rejected"
        if status is ChainStatus.WAITING:
            return "waiting"
        if chain.tag in self._new:
            return "repeated"
        self._new.add(chain.tag)
        self._new.update(leg.id for leg in chain.legs if leg.spec.kind == "pending")
        return "new"

    def _comes(self, chain: Chain) -> bool:
        """Does this replay post what the chain waits for, before it?"""
        needs = chain.needs
        wanted = [need for need in (needs.origin, needs.after) if need] if needs else []
        return all(
            need.optional or any(chain.tag in self._new for chain in need.sought) for need in wanted
        ) and all(
            not leg.pending_ids or any(number in self._new for number in leg.pending_ids)
            for leg in chain.legs
        )


def _item(read: _Read, kind: str, transaction: str) -> PlanItem:
    record = read.record
    event_id = read.found.id if isinstance(read.found, Event) else ""
    return PlanItem(kind, transaction, event_id, str(position_of(record)))
