"""One sentence on what became of an id."""

from __future__ import annotations

from collections import Counter
from typing import Final

from worker.core.iso_times import iso_millisecond, iso_time
from worker.core.plural import count_of
from worker.jobs.trace.found import Trace, TracedRecord

VERDICTS: Final = {
    "posted": "was posted",
    "redelivered": "was delivered again, and moved no money a second time",
    "conflict": "is a conflict",
    "rejected": "was rejected",
    "dead": "is a dead letter",
    "parked": "is parked",
    "ignored": "was ignored",
    "nothing_to_post": "had nothing to post",
    "not_read_yet": "is not read yet",
    "unknown": "is committed, and nothing tells what became of it",
}


def sentence(found: Trace, *, since_ms: int) -> str:
    """What a person reads first."""
    if not found.records and not found.stray and not found.letters:
        since = iso_millisecond(since_ms)
        return (
            f"{found.target}: nothing in the ledger, and no record or letter since {since};"
            " --since looks further back"
        )
    exact = [record for record in found.records if _is(record, found.target)]
    records = exact or list(found.records)
    if not records:
        return _without_records(found)
    if len(records) == 1 or exact:
        return _events(found, records)
    return f"{found.target}: {_counts(records)}{_open(found)}"


def _is(record: TracedRecord, text: str) -> bool:
    """Is this the record that the text names, by its event or its position?"""
    return text in {record.event.id if record.event else "", str(record.at)}


def _events(found: Trace, records: list[TracedRecord]) -> str:
    """One event, perhaps delivered several times: the record that decided comes first."""
    order = list(VERDICTS)
    first = min(records, key=lambda each: order.index(each.verdict))
    named = first.event.id if first.event else found.target
    why = f": {first.why}" if first.why else _posted(first)
    again = Counter(each.verdict for each in records if each is not first)
    more = "".join(f"; {count} more {verdict}" for verdict, count in again.items())
    return f"{named} {VERDICTS[first.verdict]}{why}{more}{_open(found)}"


def _posted(record: TracedRecord) -> str:
    if not record.transfers:
        return ""
    count = len(record.transfers)
    when = iso_time(record.transfers[0].transfer.timestamp)
    rule = record.chain.transaction if record.chain else record.transfers[0].leg
    missing = sum(each.announced is None for each in record.transfers)
    announced = "announced" if not missing else f"{missing} not found on the outbox"
    return f" by {rule}: {count_of(count, 'transfer')} at {when}, {announced}"


def _counts(records: list[TracedRecord]) -> str:
    counts = Counter(each.verdict for each in records)
    counted = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in counts.items())
    return f"{count_of(len(records), 'record')}, {counted}"


def _open(found: Trace) -> str:
    still = [
        f"{each.open} {each.currency} of {each.stripe_object}"
        for each in found.unsettled
        if each.is_open
    ]
    if still:
        return f"; open on stripe_unsettled: {', '.join(still)}"
    return "; both sides agree on stripe_unsettled" if found.unsettled else ""


def _without_records(found: Trace) -> str:
    if found.stray:
        count = len(found.stray)
        when = iso_time(found.stray[0].transfer.timestamp)
        return (
            f"{found.target}: {count_of(count, 'transfer')} since {when}, whose"
            " records are not in their topics any more, or are of another group (--group)"
        )
    last = found.letters[-1]
    verdict = VERDICTS[last.kind]
    return f"{found.target} {verdict}: {last.reason}; the record itself is gone from its topic"
