"""The range that is replayed: each bound at the bound and one beyond it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import cast

import pytest

from worker.config.settings import Settings, load_settings
from worker.core.errors import UsageError
from worker.core.ports import Commit, TopicPartition
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.live.compose import with_broker
from worker.jobs.replay.apply import _commit_starts
from worker.jobs.replay.plan import ReplayRequest, _within, shown_ranges
from worker.jobs.replay.range import Moment, bounds, moment, topics_of
from worker.jobs.shard import ALL, Shard
from worker.kafka.connection import connection_of
from worker.kafka.job_offsets import JobOffsets
from worker.kafka.topic_reader import OffsetRange, TopicReader

FIRST, SECOND = ("a", 0), ("a", 1)
HELD = {FIRST: OffsetRange(0, 100), SECOND: OffsetRange(10, 50)}
AT_MS = {1_000: {FIRST: 20, SECOND: 15}, 2_000: {FIRST: 60, SECOND: 50}}


class HeldTopics:
    """What a broker says of two partitions; it answers for its own offsets too."""

    def __init__(self, committed: Mapping[TopicPartition, int]) -> None:
        self._committed = committed

    @property
    def offsets(self) -> HeldTopics:
        return self

    def whole(self, topics: Sequence[str]) -> dict[TopicPartition, OffsetRange]:
        assert topics == ["a"]
        return dict(HELD)

    def ranges(self, topics: Sequence[str], *, start_ms: int) -> dict[TopicPartition, OffsetRange]:
        found = self.whole(topics)
        starts = AT_MS.get(start_ms, {})
        return {one: OffsetRange(starts.get(one, at.start), at.end) for one, at in found.items()}

    def at_time(
        self, ends: Mapping[TopicPartition, int], time_ms: int
    ) -> dict[TopicPartition, int]:
        return {partition: min(ends[partition], AT_MS[time_ms][partition]) for partition in ends}

    def committed(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        assert group == "live"
        return {partition: self._committed[partition] for partition in partitions}


def found(
    committed: tuple[int, int], start: Moment, end: Moment, part: Shard = ALL
) -> dict[TopicPartition, tuple[int, int]]:
    topics = HeldTopics(dict(zip((FIRST, SECOND), committed, strict=True)))
    ranges = bounds(
        cast("TopicReader", topics), group="live", names=["a"], start=start, end=end, part=part
    )
    return {partition: (one.start, one.end) for partition, one in ranges.items()}


def at(**offsets: int) -> Moment:
    names = {"first": FIRST, "second": SECOND}
    return Moment(offsets={names[name]: offset for name, offset in offsets.items()})


NONE = Moment()


@pytest.mark.parametrize(
    ("committed", "start", "end", "ranges"),
    [
        ((100, 50), NONE, NONE, {FIRST: (0, 100), SECOND: (10, 50)}),
        ((70, 11), NONE, NONE, {FIRST: (0, 70), SECOND: (10, 11)}),
        ((70, 10), NONE, NONE, {FIRST: (0, 70)}),
        ((0, 11), NONE, NONE, {SECOND: (10, 11)}),
        ((-1001, 11), NONE, NONE, {SECOND: (10, 11)}),
        ((100, -1001), NONE, NONE, {FIRST: (0, 100)}),
        ((100, 50), Moment(1_000), NONE, {FIRST: (20, 100), SECOND: (15, 50)}),
        ((100, 50), NONE, Moment(1_000), {FIRST: (0, 20), SECOND: (10, 15)}),
        ((18, 50), NONE, Moment(1_000), {FIRST: (0, 18), SECOND: (10, 15)}),
        ((100, 50), Moment(1_000), Moment(2_000), {FIRST: (20, 60), SECOND: (15, 50)}),
        ((100, 50), at(first=30), NONE, {FIRST: (30, 100)}),
        ((100, 50), at(first=0, second=10), NONE, {FIRST: (0, 100), SECOND: (10, 50)}),
        ((100, 50), NONE, at(first=30), {FIRST: (0, 30)}),
        ((100, 50), NONE, at(first=101, second=49), {FIRST: (0, 100), SECOND: (10, 49)}),
        ((100, 50), at(first=30), at(first=30), {}),
        ((100, 50), at(first=30), at(first=31), {FIRST: (30, 31)}),
        ((100, 50), at(first=30), at(second=31), {}),
        ((30, 50), at(first=30), NONE, {}),
        ((31, 50), at(first=30), NONE, {FIRST: (30, 31)}),
    ],
)
def test_each_bound(
    committed: tuple[int, int],
    start: Moment,
    end: Moment,
    ranges: dict[TopicPartition, tuple[int, int]],
) -> None:
    """From the start on, up to and without the end, and never what the live group has to post."""
    assert found(committed, start, end) == ranges


def test_parts_share_the_partitions() -> None:
    """Each partition is one part's."""
    parts = [found((100, 50), NONE, NONE, Shard(number, 2)) for number in range(2)]
    assert [list(part) for part in parts] == [[FIRST], [SECOND]]


@pytest.mark.parametrize(
    ("committed", "start", "end", "said"),
    [
        ((-1001, -1001), NONE, NONE, "the group live has committed nothing of a"),
        ((100, 50), at(second=9), NONE, "offsets 9 to 9 of a/1 are gone: begin at 10"),
        ((100, 50), Moment(offsets={("a", 2): 1}), NONE, "--from: there is no a/2"),
        ((100, 50), NONE, Moment(offsets={("b", 0): 1}), "--to: there is no b/0"),
    ],
)
def test_a_range_that_is_not_there(
    committed: tuple[int, int], start: Moment, end: Moment, said: str
) -> None:
    """One sentence, before anything is read."""
    with pytest.raises(UsageError, match=said):
        found(committed, start, end)


def test_moments_are_read() -> None:
    """A time is cut to milliseconds; offsets are of their own partitions."""
    assert moment("1970-01-01T00:00:01.0029", option="--to") == Moment(1_002)
    assert moment("a/0@3, a.b-c_d/12@40", option="--to") == Moment(
        offsets={FIRST: 3, ("a.b-c_d", 12): 40}
    )
    with pytest.raises(UsageError, match="--to: 'later' is no offset"):
        moment("a/0@3,later", option="--to")


def test_topics_by_role_or_name() -> None:
    """All of them where none is chosen."""
    inputs = {"payments": "p", "commands": "c"}
    assert topics_of(inputs, []) == ["c", "p"]
    assert topics_of(inputs, ["payments"]) == topics_of(inputs, ["p", "payments"]) == ["p"]
    with pytest.raises(UsageError, match="x is no input topic; there are c, p"):
        topics_of(inputs, ["p", "x"])
    assert shown_ranges({SECOND: OffsetRange(1, 2), FIRST: OffsetRange(0, 9)}) == [
        "a/0@0-9", "a/1@1-2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "end", "offset", "at_ms", "taken"),
    [
        (NONE, NONE, 0, 0, True),
        (Moment(1_000), NONE, 5, 999, False),
        (Moment(1_000), NONE, 5, 1_000, True),
        (NONE, Moment(1_000), 5, 999, True),
        (NONE, Moment(1_000), 5, 1_000, False),
        (at(first=5), NONE, 4, 0, False),
        (at(first=5), NONE, 5, 0, True),
        (at(second=5), NONE, 5, 0, False),
        (NONE, at(first=5), 4, 0, True),
        (NONE, at(first=5), 5, 0, False),
        (NONE, at(second=5), 4, 0, False),
    ],
)
def test_records_of_archives(
    *, start: Moment, end: Moment, offset: int, at_ms: int, taken: bool
) -> None:
    """The same bounds hold for records that come from files."""
    record = ArchivedRecord(*FIRST, offset, None, b"", [], at_ms)
    assert _within(record, ReplayRequest(start, end)) is taken


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "embedded")
    with with_broker(load_settings(), ["a"]) as reachable:
        yield reachable


def test_a_replay_begins_once(broker: Settings) -> None:
    """A group that stands somewhere goes on there if told to, else it is refused as it is."""

    def committed() -> dict[TopicPartition, int]:
        with closing(JobOffsets(connection_of(broker), "replay")) as offsets:
            return offsets.committed([FIRST, SECOND])

    first = {FIRST: OffsetRange(3, 9)}
    _commit_starts(broker, "replay", first, resume=False)
    assert committed() == {FIRST: 3, SECOND: -1001}
    with closing(JobOffsets(connection_of(broker), "replay")) as offsets:
        offsets.commit([Commit(*FIRST, 7, "")])
    both = {FIRST: OffsetRange(3, 9), SECOND: OffsetRange(4, 9)}
    with pytest.raises(UsageError, match=r"stands at a/0@7 already: --resume goes on there"):
        _commit_starts(broker, "replay", both, resume=False)
    assert committed() == {FIRST: 7, SECOND: -1001}
    _commit_starts(broker, "replay", both, resume=True)
    assert committed() == {FIRST: 7, SECOND: 4}
    with closing(JobOffsets(connection_of(broker), "replay")) as offsets:
        offsets.commit([Commit(*FIRST, 0, "")])
    with pytest.raises(UsageError, match=r"stands at a/0@0 already"):
        _commit_starts(broker, "replay", first, resume=False)
    _commit_starts(broker, "replay", first, resume=True)
    assert committed() == {FIRST: 0, SECOND: 4}
