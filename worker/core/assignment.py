"""One partition's assignment to this worker: what may be submitted, committed and announced again.

Nothing beyond `until` is submitted before the commit that raises it; `since` is set once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, NamedTuple

NO_REDO: Final = -1
EXPECTS_NOTHING: Final = -1


class CommitMetadata(NamedTuple):
    """What an offset commit carries as metadata.

    since: ledger timestamp, nanoseconds.
    until: the highest offset that may be submitted before the next commit.
    """

    since: int
    until: int

    def as_json(self) -> str:
        """As the commit carries it."""
        return json.dumps({"since": self.since, "until": self.until}, separators=(",", ":"))


def parse_metadata(metadata: str | None) -> CommitMetadata | None:
    """What a commit's metadata says; None where it is absent, damaged or not ours."""
    if not metadata:
        return None
    try:
        found = json.loads(metadata)
    except ValueError:
        return None
    if not isinstance(found, dict) or set(found) != {"since", "until"}:
        return None
    since, until = found["since"], found["until"]
    if type(since) is not int or type(until) is not int or since < 0:
        return None
    return CommitMetadata(since, until)


class Opening(NamedTuple):
    """How a partition starts after it was assigned.

    offset: the next offset to commit.
    metadata: what the group committed with it; None at a first start or a reset. Then `since` is
        the ledger's newest timestamp, committed before the first post.
    """

    offset: int
    metadata: CommitMetadata | None


def opening(*, committed: int, metadata: str | None, low: int, high: int) -> Opening:
    """First start, reset or resumption?

    committed: the group's offset, negative when there is none. low, high: the partition's
    watermarks. An offset outside them (retention, a recreated topic) is a reset to the lowest.
    """
    if not low <= committed <= high:
        return Opening(low, None)
    return Opening(committed, parse_metadata(metadata))


@dataclass(slots=True, eq=False)
class Assignment:
    """One partition's time with this worker. Compared by identity.

    Work of an earlier assignment of the same partition is dropped.

    role: of its topic; empty on a parked topic, where each record has its own.
    tries: how often its records were parked before.
    delay_ms: how long they wait on this topic, milliseconds.
    base: the upper bits of its positions.
    committed: everything below has its outcome committed.
    redo: see `announce_rejected_before`.
    seek_offset: where the client was last told to read from.
    seeks: how often it was told so in a row.
    expects: the offset that must be read again after a seek; EXPECTS_NOTHING when it was, or when
        none is known.
    """

    topic: str
    partition: int
    role: str
    base: int
    since: int = 0
    until: int = -1
    redo: int = NO_REDO
    committed: int = 0
    opened: bool = False
    tries: int = 0
    delay_ms: int = 0
    expects: int = EXPECTS_NOTHING
    seek_offset: int = 0
    seeks: int = 0

    def open(self, *, offset: int, metadata: CommitMetadata, redo: int) -> None:
        """Begin to answer for the partition at this offset."""
        self.committed = offset
        self.since, self.until = metadata
        self.redo = redo
        self.opened = True

    def note_seek(self, offset: int, *, expects: int) -> None:
        """The client was told to read from this offset; `expects`: what was read there before."""
        self.seek_offset, self.expects, self.seeks = offset, expects, 1

    def may_submit(self, offset: int) -> bool:
        """May this record be submitted before the next commit?"""
        return offset <= self.until

    def raised(self, *, next_offset: int, window: int) -> CommitMetadata:
        """The metadata to commit with `next_offset`; window: offsets that may follow it."""
        return CommitMetadata(self.since, max(self.until, next_offset + window))

    def was_committed(self, *, next_offset: int, metadata: CommitMetadata) -> None:
        """This offset and metadata are committed."""
        self.committed = next_offset
        self.until = metadata.until
