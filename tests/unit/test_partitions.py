"""What is taken, opened, committed and slept through, each bound at the bound and one beyond."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.unit.owned import HERE, SINCE, THERE, WAITING, WINDOW, Ours, committed, item, record
from worker.core.assignment import EXPECTS_NOTHING, NO_REDO, Opening
from worker.stages.parking import NAP_MS, ParkedPartitions, wake_ms
from worker.stages.seek_check import SEEKS_MAX

# Commits


@pytest.mark.parametrize(
    ("first", "last", "raised"),
    [(60, 61, None), (61, 62, 161), (61, 500, 161), (99, 99, 199)],
)
def test_until_is_raised_for_the_first_item_of_a_partition_that_is_beyond_it(
    first: int, last: int, raised: int | None
) -> None:
    """The first says whether it is held up, and how far it may go; the commit stays where it is."""
    ours = Ours()
    here, there = ours.open(HERE, THERE)
    items = [item(here, first), item(there, 60), item(here, last), item(there, 60)]
    expected = {} if raised is None else {0: (50, SINCE, raised)}
    commits = ours.partitions.blocked(items)
    assert committed(commits) == expected
    for one, offset, position in commits:
        one.was_committed(next_offset=offset, metadata=position)
        assert one.may_submit(first)
    assert ours.partitions.blocked(items) == []


def test_until_never_falls() -> None:
    """A window that ends before it leaves it where it is."""
    ours = Ours(until=1000)
    (here,) = ours.open(HERE)
    assert committed(ours.partitions.settled([item(here, 52)])) == {0: (53, SINCE, 1000)}
    here.until = 0
    assert committed(ours.partitions.settled([item(here, 52)])) == {0: (53, SINCE, 153)}


def test_each_partition_is_committed_behind_its_last_item() -> None:
    """Those of other partitions between them do not count."""
    ours = Ours()
    here, there = ours.open(HERE, THERE)
    items = [item(here, 52), item(there, 70), item(here, 59)]
    assert committed(ours.partitions.settled(items)) == {
        0: (60, SINCE, 160),
        1: (71, SINCE, 171),
    }


@pytest.mark.parametrize("end", [0, 49, 50, 51])
def test_a_tail_is_committed_where_there_is_something_new(end: int) -> None:
    """The end that was read to, once, and only beyond what is committed."""
    ours = Ours()
    (here,) = ours.open(HERE)
    ours.follow(ends={HERE: end})
    tails = ours.partitions.tails()
    assert committed(tails) == ({0: (51, SINCE, 151)} if end > 50 else {})
    for one, offset, position in tails:
        one.was_committed(next_offset=offset, metadata=position)
    assert ours.partitions.tails() == []
    assert here.committed == max(end, 50)


def test_no_tail_over_a_partition_that_sleeps() -> None:
    """The end that was read to lies behind a record that waits: it would be passed over."""
    ours = Ours()
    (waiting,) = ours.open(WAITING)
    ours.follow(ends={WAITING: 70})
    assert len(ours.partitions.tails()) == 1
    ours.partitions.sleep(waiting, offset=55, wake_ms=900)
    assert ours.partitions.tails() == []
    assert ours.take(55, 56, of=WAITING) == []
    ours.follow(ends={WAITING: 70})
    assert ours.partitions.tails() == []
    assert ours.partitions.wake(899) == []
    assert ours.partitions.wake(900) == [WAITING]
    assert ours.partitions.tails() == []
    assert ours.take(55, 56, of=WAITING) == [55, 56]
    ours.follow(ends={WAITING: 70})
    assert committed(ours.partitions.tails()) == {0: (70, SINCE, 170)}


def test_no_tail_over_what_must_come_again() -> None:
    """An end that is told before it came is an end that another place was read to."""
    ours = Ours()
    (here,) = ours.open(HERE)
    ours.take(50)
    ours.partitions.start_over([item(here, 50)])
    ours.partitions.open_known()
    ours.follow(ends={HERE: 70})
    assert ours.partitions.tails() == []


def test_no_tail_of_a_partition_that_is_not_open() -> None:
    """Nothing is known of it yet."""
    ours = Ours()
    ours.follow(gained=[HERE])
    ours.follow(ends={HERE: 70})
    assert ours.partitions.tails() == []
    ours.partitions.open_known()
    assert ours.partitions.tails() == []


# Fetched


def test_nothing_is_fetched_before_a_partition_opens() -> None:
    """Where the client begins by itself is not where the group is."""
    ours = Ours()
    ours.follow(gained=[HERE, THERE])
    assert ours.source.paused == {HERE, THERE}


def test_who_is_ahead_is_not_fetched_until_the_others_have_come_up() -> None:
    """One that sleeps is not fetched either way."""
    ours = Ours()
    _, _, waiting = ours.open(HERE, THERE, WAITING)
    ours.source.resume([HERE, THERE, WAITING])
    ours.partitions.hold(frozenset({HERE, WAITING}))
    assert ours.source.paused == {HERE, WAITING}
    assert ours.partitions.awake() == [THERE]
    ours.partitions.sleep(waiting, offset=55, wake_ms=900)
    ours.partitions.hold(frozenset({THERE}))
    assert ours.source.paused == {THERE, WAITING}
    ours.partitions.hold(frozenset())
    assert ours.source.paused == {WAITING}
    assert ours.partitions.awake() == [HERE, THERE]


# Taken


def test_what_is_below_the_commit_has_its_outcome() -> None:
    """The committed offset is the first that is taken."""
    ours = Ours()
    ours.open(HERE)
    assert ours.take(48, 49, 50, 51) == [50, 51]
    assert ours.take(52, of=THERE) == []


def test_what_came_before_the_partition_opened_comes_again() -> None:
    """Nothing behind the first of it is taken before it, which is asked for again."""
    ours = Ours()
    ours.follow(gained=[HERE])
    assert ours.take(49, 50, 51) == []
    ours.partitions.open_known()
    assert ours.of(HERE).expects == 50
    assert ours.source.seeks == [(HERE, 50)]
    assert ours.take(51, 52) == []
    assert ours.source.seeks == [(HERE, 50), (HERE, 50)]
    assert ours.take(50, 51, 52) == [50, 51, 52]
    assert ours.take(53) == [53]


def test_a_record_that_is_gone_is_waited_for_so_often() -> None:
    """SEEKS_MAX times the partition is put back, and then goes on with what there is."""
    ours = Ours()
    ours.follow(gained=[HERE])
    ours.take(50)
    ours.partitions.open_known()
    for _ in range(SEEKS_MAX - 1):
        assert ours.take(51, 52) == []
    assert len(ours.source.seeks) == SEEKS_MAX
    assert ours.take(51, 52) == [51, 52]
    assert ours.of(HERE).expects == EXPECTS_NOTHING


def test_a_partition_that_cannot_be_put_back_opens_anew() -> None:
    """What must come is not forgotten meanwhile."""
    ours = Ours()
    ours.follow(gained=[HERE])
    ours.take(50)
    ours.partitions.open_known()
    before = ours.of(HERE)
    ours.source.refuses = {HERE}
    assert ours.partitions.take([record(51)], lambda *_: True) == []
    assert ours.of(HERE) is not before
    assert ours.partitions.open_known() == []
    ours.source.refuses = set()
    assert ours.partitions.open_known() == [HERE]
    assert ours.of(HERE).expects == 50


def test_after_a_failed_transaction_everything_is_another_assignment() -> None:
    """Nothing in hand is ours any more, and all of it must come again, the oldest first."""
    ours = Ours()
    here, there = ours.open(HERE, THERE)
    in_flight = [item(here, 52), item(there, 53), item(here, 51)]
    assert ours.partitions.all_ours(in_flight)
    ours.source.paused.clear()
    ours.partitions.start_over(in_flight)
    assert not any(map(ours.partitions.ours, in_flight))
    assert not ours.partitions.all_ours(in_flight)
    assert ours.source.paused == {HERE, THERE}
    assert ours.partitions.opened() == []
    assert ours.partitions.open_known() == [HERE, THERE]
    assert [ours.of(each).expects for each in (HERE, THERE)] == [51, 53]
    assert [ours.of(each).redo for each in (HERE, THERE)] == [60, 60]


def test_what_is_ours_is_told_by_each_item() -> None:
    """One item of a partition that left is enough, wherever it stands among the others."""
    ours = Ours()
    here, there = ours.open(HERE, THERE)
    ours.follow(lost=[THERE])
    mine, other = item(here, 51), item(there, 51)
    assert ours.partitions.all_ours([mine, mine])
    for items in ([other, mine], [mine, other], [mine, other, mine]):
        assert not ours.partitions.all_ours(items)
    ours.open(THERE)
    assert not ours.partitions.ours(other)


# Opening


def test_a_first_start_commits_the_newest_time_before_it_opens() -> None:
    """`since` is the ledger's answer, `until` the window behind the first offset."""
    ours = Ours()
    ours.source.positions[HERE] = Opening(7, None)
    ours.follow(gained=[HERE, THERE])
    assert ours.partitions.open_known() == [THERE]
    asked: Future[int] = Future()
    assert ours.partitions.first_commits(lambda: asked) == []
    assert ours.partitions.waits_for_ledger
    asked.set_result(1234)
    commits = ours.partitions.first_commits(lambda: asked)
    assert committed(commits) == {0: (7, 1234, 7 + WINDOW)}
    assert not ours.partitions.waits_for_ledger
    assert ours.partitions.open_first(commits) == [HERE]
    here = ours.of(HERE)
    assert (here.since, here.until, here.redo, here.committed) == (1234, 107, NO_REDO, 7)
    assert not ours.partitions.opening
    assert ours.partitions.first_commits(lambda: asked) == []


def test_an_answer_of_the_ledger_is_for_those_it_was_asked_for() -> None:
    """A partition that left meanwhile, or came after the question, has its own."""
    ours = Ours()
    ours.source.positions.update({HERE: Opening(7, None), THERE: Opening(8, None)})
    ours.follow(gained=[HERE])
    ours.partitions.open_known()
    asked: Future[int] = Future()
    ours.partitions.first_commits(lambda: asked)
    ours.follow(gained=[THERE])
    ours.partitions.open_known()
    asked.set_result(1234)
    assert list(committed(ours.partitions.first_commits(lambda: asked))) == [0]
    ours.partitions.first_commits(lambda: asked)
    ours.follow(lost=[HERE])
    assert list(committed(ours.partitions.first_commits(lambda: asked))) == [1]


def test_an_answer_is_not_for_a_partition_that_left_and_came_again() -> None:
    """It was asked before the partition was ours anew: others may have posted since."""
    ours = Ours()
    ours.source.positions[HERE] = Opening(7, None)
    ours.follow(gained=[HERE])
    ours.partitions.open_known()
    asked: Future[int] = Future()
    ours.partitions.first_commits(lambda: asked)
    ours.source.positions[HERE] = Opening(9, None)
    ours.follow(lost=[HERE], gained=[HERE])
    ours.partitions.open_known()
    asked.set_result(1234)
    assert ours.partitions.first_commits(lambda: asked) == []
    assert committed(ours.partitions.first_commits(lambda: asked)) == {0: (9, 1234, 109)}


def test_after_a_failed_transaction_the_ledger_is_asked_anew() -> None:
    """An answer to the question before it is nobody's."""
    ours = Ours()
    ours.source.positions[HERE] = Opening(7, None)
    ours.follow(gained=[HERE])
    ours.partitions.open_known()
    early: Future[int] = Future()
    ours.partitions.first_commits(lambda: early)
    ours.partitions.start_over(())
    assert not ours.partitions.waits_for_ledger
    ours.partitions.open_known()
    early.set_result(1)
    late: Future[int] = Future()
    late.set_result(2)
    assert committed(ours.partitions.first_commits(lambda: late)) == {0: (7, 2, 107)}


def test_what_was_to_come_is_still_to_come_after_a_failed_transaction() -> None:
    """It is not in hand, and has no outcome."""
    ours = Ours()
    ours.follow(gained=[HERE])
    ours.take(50)
    ours.partitions.open_known()
    ours.partitions.start_over(())
    ours.partitions.open_known()
    assert ours.of(HERE).expects == 50


def test_nothing_is_remembered_of_a_partition_that_left() -> None:
    """Neither its sleep nor the end that it was read to nor what must come again."""
    ours = Ours()
    (waiting,) = ours.open(WAITING)
    ours.partitions.sleep(waiting, offset=55, wake_ms=10**9)
    ours.follow(lost=[WAITING])
    assert ours.partitions.asleep() == []
    ours.open(WAITING)
    assert ours.take(50, of=WAITING) == [50]
    ours.open(HERE)
    ours.follow(ends={HERE: 70})
    ours.follow(lost=[HERE])
    ours.follow(gained=[HERE])
    ours.take(52)
    ours.follow(lost=[HERE])
    (here,) = ours.open(HERE)
    assert here.expects == EXPECTS_NOTHING
    assert ours.partitions.tails() == []


# Parked


@pytest.mark.parametrize(
    ("due_ms", "expected"),
    [
        (10_000, 10_000 + NAP_MS),
        (10_000 + NAP_MS, 10_000 + NAP_MS),
        (10_000 + NAP_MS + 1, 10_000 + NAP_MS + 1),
        (69_999, 69_999),
        (70_000, 70_000),
        (70_001, 70_000),
        (10**15, 70_000),
    ],
)
def test_a_record_waits_for_its_time_and_no_longer_than_its_topic_s_delay(
    due_ms: int, expected: int
) -> None:
    """A clock that was ahead parks nothing for years, and a nap is at least a nap."""
    assert wake_ms(due_ms=due_ms, now_ms=10_000, delay_ms=60_000) == expected


def test_a_partition_wakes_once_and_at_its_time() -> None:
    """Not before, and not again."""
    parked = ParkedPartitions()
    parked.sleep(HERE, 500)
    parked.sleep(THERE, 501)
    assert parked.wake(499) == []
    assert parked.wake(500) == [HERE]
    assert (parked.sleeps(HERE), parked.sleeps(THERE)) == (False, True)
    assert parked.asleep() == [THERE]
    parked.forget(THERE)
    assert parked.wake(10**9) == []
