"""What the pages' tests write down has the fields of real traces and statuses."""

from __future__ import annotations

from typing import Any

from tests.jobs.pages.shown import status_document, trace_document
from worker.core.ports import RecordPosition
from worker.core.wire import Transfer
from worker.jobs.status.run import Newest, Refused, Status, TopicLag, Waiting
from worker.jobs.status.text import document as status_of
from worker.jobs.trace.found import OpenItem, Trace, TracedRecord, TracedTransfer
from worker.jobs.trace.search import Letter
from worker.jobs.trace.text import document as trace_of
from worker.kafka.group_members import GroupState, MemberState

AT = RecordPosition("t", 0, 0)
LETTER = Letter("dead", AT, AT, "evt_1", 0, "no_rule", "")
MOVED = TracedTransfer(Transfer(1), "leg", "a", "b", "1.00", "usd", "posted", AT, AT)


def fields(value: Any) -> Any:
    """The names in a document, of each list's first entry."""
    if isinstance(value, dict):
        return {name: fields(each) for name, each in value.items()}
    return fields(value[0]) if isinstance(value, list | tuple) and value else None


def test_a_trace_has_these_fields() -> None:
    """And `fine`, which the pages add to a record."""
    record = TracedRecord(
        at=AT,
        time_ms=0,
        role="r",
        event=None,
        committed=True,
        rules=(("a", "yes"),),
        chain=None,
        verdict="dead",
        why="",
        transfers=(MOVED,),
        letters=(LETTER,),
    )
    item = OpenItem("ch_1", "usd", True, "1", "0", "1", "")  # noqa: FBT003
    found = trace_of(Trace("evt_1", "", (record,), (MOVED,), (LETTER,), (item,), ("x",)))
    found["records"][0]["fine"] = False
    assert fields(found) == fields(trace_document("x"))


def test_a_status_has_these_fields() -> None:
    """Of members only what a page shows."""
    group = GroupState("g", "stable", (MemberState("c", "i", "/h", ()),))
    lag, waits = TopicLag("t", "r", 1, 0, 0), Waiting("t", "d", 1, 0, 0)
    refused = Refused("dead", "no_rule", 1, LETTER)
    found = fields(
        status_of(
            Status(0, 0, group, (lag,), (waits,), (refused,), Newest(0, 1, AT), "", None, ("t",))
        )
    )
    shown = fields(status_document("x"))
    members = found.pop("members"), shown.pop("members")
    assert set(members[1]) - {"shown"} <= set(members[0])
    shown["approved"] = None
    assert {**found, "reconciled": None} == {**shown, "reconciled": None}
