"""The states of a small world, its scope, and the rules of the worker that a test may break."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from worker.core.assignment import NO_REDO
from worker.core.outcome import ExistingChain, announce_rejected_before, existing_verdict

T = TypeVar("T")

WINDOW: Final = 1
PARKED: Final = 2
"""The partition of parked records; 0 and 1 are inputs."""

OPEN: Final = -1
"""The phase of an open stay; 0 or more: the ledger's newest time, whose commit is to come."""


class ModelRecord(NamedTuple):
    """One record. refused: the ledger says no. needs: the event that must be there first, or -1."""

    event: int
    refused: bool = False
    needs: int = -1


class Stay(NamedTuple):
    """A partition's stay with a worker; `next` is the offset to take."""

    phase: int = OPEN
    since: int = 0
    until: int = -1
    redo: int = NO_REDO
    committed: int = 0
    next: int = 0


class WillAnnounce(NamedTuple):
    """What a worker will tell of a record when it commits: an outcome's kind."""

    partition: int
    offset: int
    record: ModelRecord
    kind: str


class ModelWorker(NamedTuple):
    """A process. member: the group knows it. sent: (partition, offset) that the ledger has."""

    group: int
    member: bool = True
    stays: tuple[Stay | None, ...] = (None, None, None)
    items: tuple[WillAnnounce, ...] = ()
    sent: tuple[int, int] | None = None


class State(NamedTuple):
    """The world.

    commits, owners: by group and partition: (offset, metadata), and the worker's number or -1.
    ledger: by event: None, () when it was refused, or (group, partition, offset, time) of the
    record that posted it. announced, refusals, dead: by event, how often it was told. parked: the
    records of the parked partition, and (group, partition, offset, since) they came from. ghosts:
    requests whose sender is gone.
    """

    commits: tuple[tuple[tuple[int, str], ...], ...]
    owners: tuple[tuple[int, ...], ...]
    workers: tuple[ModelWorker, ...]
    ledger: tuple[tuple[int, ...] | None, ...]
    announced: tuple[int, ...]
    refusals: tuple[int, ...]
    dead: tuple[int, ...]
    parked: tuple[tuple[ModelRecord, tuple[int, int, int, int]], ...] = ()
    ghosts: tuple[tuple[int, int, int], ...] = ()
    clock: int = 1
    faults: int = 0


@dataclass(frozen=True, slots=True)
class ModelRules:
    """The worker's decisions.

    keeps_work: what is under way survives the loss of its partition. asks_group: after a failed
    transaction the group says where to go on, not what the worker remembers.
    """

    existing: Callable[..., ExistingChain] = existing_verdict
    rejected_before: Callable[..., bool] = announce_rejected_before
    position: Callable[[int, int, int], int] = lambda group, partition, offset: (
        group << 16 | partition << 8 | offset
    )
    keeps_work: bool = False
    asks_group: bool = True


@dataclass(frozen=True, slots=True)
class Scope:
    """What is tried: the records of partitions 0 and 1, each worker's group, and the faults.

    reset: the whole group may start over once everything is committed.
    """

    logs: tuple[tuple[ModelRecord, ...], tuple[ModelRecord, ...]]
    groups: tuple[int, ...] = (0, 0)
    faults_max: int = 2
    reset: bool = False

    def start(self) -> State:
        """Nobody has read anything."""
        records = [record for log in self.logs for record in log]
        events = 1 + max(record.event for record in records)
        nothing: tuple[None, ...] = (None,) * events
        zeros = (0,) * events
        count = 1 + max(self.groups)
        return State(
            commits=(((-1, ""),) * 3,) * count,
            owners=((-1,) * 3,) * count,
            workers=tuple(ModelWorker(group) for group in self.groups),
            ledger=nothing,
            announced=zeros,
            refusals=zeros,
            dead=zeros,
        )


def put(held: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    """The tuple with one member changed."""
    return (*held[:at], value, *held[at + 1 :])
