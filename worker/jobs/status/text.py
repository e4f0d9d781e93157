"""A group's status as lines for people and as one JSON document; both say the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from worker.core.ids import hex_id
from worker.core.iso_times import MILLISECOND, NANOSECONDS, iso_millisecond, iso_second, iso_time
from worker.core.plural import count_of
from worker.jobs.status.reconciled import Reconciled
from worker.jobs.status.run import Status
from worker.jobs.text_tables import BAD, GOOD, TITLE, Styled
from worker.kafka.group_members import MemberState
from worker.observe.logs import partition_ranges

UNKNOWN_GROUP: Final = "not known to the broker"
"""What Kafka calls dead: nobody was ever in the group, or its offsets are gone."""


def lines(found: Status) -> Iterator[str | Styled]:
    """Members, lag, what waits, what was refused, the newest posting, the rulebook."""
    group = found.group
    count = count_of(len(group.members), "member")
    style = GOOD if group.state == "stable" else BAD
    state = UNKNOWN_GROUP if group.state == "dead" else group.state
    yield Styled(f"group {group.group}: {state}, {count}", style)
    for member in group.members:
        name = member.instance_id or member.client_id
        yield f"  {name} at {member.host.strip('/')}: {member_partitions(member) or 'no partition'}"
    yield from _section("lag", _lag(found))
    yield from _section("parked now", _waiting(found))
    since = iso_millisecond(found.since_ms)
    yield from _section(f"dead and rejected since {since}", _refused(found))
    yield from _section("newest posting", [_newest(found)])
    yield from _section("rulebook", [_rulebook(found)])
    if found.reconciled is not None:
        yield from _section("last reconciliation", [_reconciled(found.reconciled)])
    yield from (Styled(f"the topic {topic} does not exist", BAD) for topic in found.missing)


def member_partitions(member: MemberState) -> str:
    """What a member has, as ranges."""
    return partition_ranges([f"{topic}/{number}" for topic, number in member.partitions])


def _section(title: str, body: Iterable[str | Styled]) -> Iterator[str | Styled]:
    yield ""
    yield Styled(title, TITLE)
    shown = False
    for line in body:
        shown = True
        yield line
    if not shown:
        yield "  nothing"


def _lag(found: Status) -> Iterator[str | Styled]:
    width = max((len(each.topic) for each in found.lags), default=0)
    for each in found.lags:
        behind = f" in {each.behind} of {each.partitions} partitions" if each.behind else ""
        yield f"  {each.topic:<{width}}  {each.role:<12} {each.lag:>12,}{behind}"


def _waiting(found: Status) -> Iterator[str]:
    for each in found.waiting:
        due = iso_millisecond(each.first_due_ms)
        last = iso_millisecond(each.last_due_ms)
        until = f"due {due}" if last == due else f"due from {due} to {last}"
        yield f"  {each.events:>6,}  {each.topic}: {each.detail}; {until}"


def _refused(found: Status) -> Iterator[str | Styled]:
    for each in found.refused:
        newest = f"{iso_millisecond(each.newest.time_ms)} at {each.newest.at}"
        yield Styled(f"  {each.events:>6,}  {each.kind}, {each.reason}; newest {newest}", BAD)


def _newest(found: Status) -> str:
    if found.newest is None:
        return "  nothing was ever posted"
    ago = max(found.as_of_ns - found.newest.at_ns, 0) // NANOSECONDS
    record = f", by {found.newest.record}" if found.newest.record else ""
    return f"  {iso_time(found.newest.at_ns)}, {ago:,} s ago{record}"


def _rulebook(found: Status) -> str:
    lock = found.lock
    if lock is None:
        return f"  {found.digest}, not locked: nobody approved it"
    by = f"{lock.approver}, {iso_second(lock.date)}"
    changed = "" if lock.digest == found.digest else f" (as {lock.digest}; changed since)"
    return f"  {found.digest}, approved by {by}{changed}"


def _reconciled(found: Reconciled) -> str | Styled:
    span = f"facts from {found.start or 'the beginning'} to {found.end or 'now'}"
    text = f"  {found.made_at}: {found.verdict}; {span}"
    return Styled(text, BAD) if found.differences else text


def document(found: Status) -> dict[str, Any]:
    """The whole answer as plain values."""
    newest, lock = found.newest, found.lock
    return {
        "as_of": iso_millisecond(found.as_of_ns // MILLISECOND),
        "since": iso_millisecond(found.since_ms),
        "group": found.group.group,
        "state": found.group.state,
        "members": [
            {**each._asdict(), "partitions": [list(one) for one in each.partitions]}
            for each in found.group.members
        ],
        "lag": [each._asdict() for each in found.lags],
        "parked": [
            {
                "topic": each.topic,
                "detail": each.detail,
                "events": each.events,
                "first_due": iso_millisecond(each.first_due_ms),
                "last_due": iso_millisecond(each.last_due_ms),
            }
            for each in found.waiting
        ],
        "refused": [
            {
                "kind": each.kind,
                "reason": each.reason,
                "events": each.events,
                "newest": str(each.newest.at),
                "newest_at": iso_millisecond(each.newest.time_ms),
            }
            for each in found.refused
        ],
        "newest_posting": None
        if newest is None
        else {
            "at": iso_time(newest.at_ns),
            "transfer_id": hex_id(newest.transfer_id),
            "record": str(newest.record) if newest.record else "",
        },
        "rulebook": found.digest,
        "approved": None
        if lock is None
        else {"digest": lock.digest, "by": lock.approver, "at": iso_second(lock.date)},
        "missing_topics": list(found.missing),
        "reconciled": found.reconciled._asdict() if found.reconciled else None,
    }
