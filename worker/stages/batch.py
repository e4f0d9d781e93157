"""Which events go to the ledger together: bounded batches that keep every partition's order.

The invariant: an item is never posted ahead of an earlier item of its partition, and no request
holds an event together with a chain that it waits for: the pending transfer that it settles, its
origin, or what it comes after.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.core.assignment import Assignment
from worker.core.chain import Chain
from worker.stages.item import Item


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is full: events, legs (the ledger's request limit), bytes of values."""

    events_max: int
    legs_max: int
    bytes_max: int


@dataclass(slots=True)
class Batch:
    """The batch being filled, in the order of consumption."""

    limits: Limits
    items: list[Item] = field(default_factory=list)
    legs: int = 0
    size_bytes: int = 0
    urgent: bool = False
    """Some event asks to be flushed at once."""

    @property
    def full(self) -> bool:
        """No room for another event."""
        limits = self.limits
        return (
            len(self.items) >= limits.events_max
            or self.legs >= limits.legs_max
            or self.size_bytes >= limits.bytes_max
        )

    @property
    def room(self) -> int:
        """How many more events may come."""
        return self.limits.events_max - len(self.items)

    def add(self, item: Item) -> None:
        """Take one more item; those that do not fit one request stay for the next at the cut."""
        self.items.append(item)
        self.size_bytes += item.size_bytes
        translated = item.translated
        if type(translated) is Chain:
            self.legs += len(translated.legs)
            if translated.sync or item.attempts:
                self.urgent = True

    def extend(self, items: Iterable[Item]) -> None:
        """Take more items, in order."""
        for item in items:
            self.add(item)

    def drop_lost(self, assignments: Iterable[Assignment]) -> None:
        """Forget items of partitions that are no longer ours, or are ours anew."""
        keep = set(map(id, assignments))
        self._refill([item for item in self.items if id(item.assignment) in keep])

    def cut(self) -> list[Item]:
        """Take what may be posted in one request now; the rest stays, in order."""
        now, later = _split(self.items, self.limits.legs_max)
        self._refill(later)
        return now

    def _refill(self, items: list[Item]) -> None:
        self.items, self.legs, self.size_bytes, self.urgent = [], 0, 0, False
        self.extend(items)


def _split(items: list[Item], legs_max: int) -> tuple[list[Item], list[Item]]:
    """Items for this request and for later.

    An item waits for the pending transfer that it settles, for its origin and for what it comes
    after, when that comes in this very batch. Where such waits run in a circle (the pending
    transfer stands behind its own settlement), the first of them goes on without: the ledger is
    asked, and what is missing is missing.
    """
    fitting = _plain_prefix(items, legs_max)
    if fitting:
        return items[:fitting], items[fitting:]
    offered = _offered(items)
    without_waiting: set[int] = set()
    while True:
        cut = _Cut(legs_max, offered, without_waiting)
        for item in items:
            cut.add(item)
        circle = cut.circle()
        if circle is None:
            return cut.now, cut.later
        without_waiting.add(id(circle))


def _plain_prefix(items: list[Item], legs_max: int) -> int:
    """How many items fit one request, where nothing waits; 0 when it takes a closer look.

    A flat loop: under load every batch is cut here.
    """
    legs = 0
    fitting = len(items)
    for number, item in enumerate(items):
        translated = item.translated
        if type(translated) is not Chain:
            continue
        if item.attempts or translated.needs is not None:
            return 0
        for leg in translated.legs:
            if leg.pending_ids:
                return 0
        legs += len(translated.legs)
        if legs > legs_max:
            fitting = min(fitting, number)
    latest = {item.assignment: item.offset for item in items}
    if all(assignment.may_submit(offset) for assignment, offset in latest.items()):
        return fitting
    return 0


@dataclass(slots=True)
class _Cut:
    """One pass over a batch. Whoever waits makes its partition wait behind it."""

    legs_max: int
    offered: dict[int, Item]
    without_waiting: set[int]
    now: list[Item] = field(default_factory=list)
    later: list[Item] = field(default_factory=list)
    waiting: dict[int, tuple[Item, Item | None]] = field(default_factory=dict)
    """By partition: the item that blocks it, and the item that this one waits for, if any."""

    legs: int = 0
    closed: bool = False

    def add(self, item: Item) -> None:
        partition = id(item.assignment)
        if partition in self.waiting:
            self.later.append(item)
            return
        predecessor = self._predecessor(item)
        if predecessor is None and self._fits(item):
            self.now.append(item)
            self.legs += item.legs
            # A redriven item ends the request: its attempts take one request each.
            self.closed = item.attempts > 0
        else:
            self.later.append(item)
            self.waiting[partition] = (item, predecessor)

    def _fits(self, item: Item) -> bool:
        if bool(self.now) and self.legs + item.legs > self.legs_max:
            return False
        if not item.assignment.may_submit(item.offset):
            self.closed = True  # a commit comes first: nothing younger of others is to overtake it
        return not self.closed

    def _predecessor(self, item: Item) -> Item | None:
        if not self.offered or id(item) in self.without_waiting:
            return None
        found = (self.offered.get(number) for number in _awaits(item))
        return next((other for other in found if other is not None and other is not item), None)

    def circle(self) -> Item | None:
        """An item whose wait can never end, because what it waits for stands behind it."""
        taken = set(map(id, self.now))
        for start, _ in self.waiting.values():
            seen: set[int] = set()
            partition = id(start.assignment)
            while partition not in seen:
                seen.add(partition)
                _, awaited = self.waiting.get(partition, (None, None))
                if awaited is None or id(awaited) in taken:
                    break
                partition = id(awaited.assignment)
            else:
                return self.waiting[partition][0]
        return None


def _offered(items: list[Item]) -> dict[int, Item]:
    """Who makes what others may wait for; empty where nothing among these items waits.

    Pending transfers by id, whole chains by tag. The first counts: later ones are redeliveries.
    """
    if not any(_awaits(item) for item in items):
        return {}
    offered: dict[int, Item] = {}
    for item in items:
        if isinstance(item.translated, Chain):
            offered.setdefault(item.translated.tag, item)
            for leg in item.translated.legs:
                if leg.spec.kind == "pending":
                    offered.setdefault(leg.id, item)
    return offered


def _awaits(item: Item) -> tuple[int, ...]:
    """The ids of pending transfers that this item posts or voids, and the tags it waits for."""
    if not isinstance(item.translated, Chain):
        return ()
    needs = item.translated.needs
    settled = tuple(pending for leg in item.translated.legs for pending in leg.pending_ids)
    return settled if needs is None else settled + needs.tags
