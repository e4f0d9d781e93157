"""A trace as lines for people and as one JSON document; both say the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.core.ids import hex_id
from worker.core.iso_times import iso_millisecond, iso_second, iso_time
from worker.jobs.text_tables import BAD, GOOD, TITLE, Styled
from worker.jobs.trace.found import OpenItem, Trace, TracedRecord, TracedTransfer
from worker.jobs.trace.search import Letter

FINE = frozenset({"posted", "redelivered", "ignored", "nothing_to_post"})
"""Verdicts that ask nothing of a person."""


def lines(found: Trace) -> Iterator[str | Styled]:
    """The sentence, each record with what came of it, open items, and what was not looked at."""
    yield Styled(found.sentence, TITLE)
    for record in found.records:
        yield ""
        yield from _record(record)
    if found.stray:
        yield ""
        yield "transfers whose records are gone, or of another group:"
        yield from (line for each in found.stray for line in _transfer(each, record=True))
    if found.letters:
        yield ""
        yield "letters about records that are gone:"
        yield from (f"  {letter_line(each)}" for each in found.letters)
    if found.unsettled:
        yield ""
        yield "on stripe_unsettled:"
        yield from map(_open_item, found.unsettled)
    if found.not_searched:
        yield ""
        yield from found.not_searched


def _record(record: TracedRecord) -> Iterator[str | Styled]:
    event = record.event
    about = (
        f"{event.id}, {event.type}, created {iso_second(event.created)}" if event else "no event"
    )
    yield f"{_when(record.time_ms)}  {record.at!s}  {about}"
    why = f": {record.why}" if record.why else ""
    verdict = f"  {record.verdict.replace('_', ' ')}{why}"
    yield Styled(verdict, GOOD if record.verdict in FINE else BAD)
    for name, answer in record.rules:
        if len(record.rules) == 1 or not answer.startswith("not asked"):
            yield f"  rule {name}: {answer}"
    if record.chain is not None:
        yield f"  key {record.chain.key}, user_data_128 {hex_id(record.chain.tag)}"
    for each in record.transfers:
        yield from _transfer(each)
    for letter in record.letters:
        yield f"  {letter_line(letter)}"


def _transfer(each: TracedTransfer, *, record: bool = False) -> Iterator[str]:
    kind = "" if each.kind == "posted" else f" ({each.kind})"
    yield f"  {each.leg}{kind}: {each.amount} {each.currency}, {each.debit} to {each.credit}"
    announced = str(each.announced) if each.announced else "not found on the outbox"
    yield f"    posted {iso_time(each.transfer.timestamp)}, announced {announced}"
    where = f", by {each.record or 'a record of another group'}"
    yield f"    transfer {hex_id(each.transfer.id)}{where if record else ''}"


def letter_line(letter: Letter) -> str:
    """A dead letter, a rejection or a parked event."""
    words = f"{letter.kind} {_when(letter.time_ms)}, {letter.reason}"
    words += f" at the leg {letter.leg}" if letter.leg else ""
    words += f": {letter.detail}" if letter.detail else ""
    words += f", attempt {letter.attempt}" if letter.attempt else ""
    if letter.kind == "parked":
        due = _when(letter.due_ms)
        words += ", taken up since" if letter.taken_up else f", due {due}"
    return f"{words}; {letter.at!s}"


def _open_item(item: OpenItem) -> str:
    sides = f"payments {item.payments}, settlements {item.settlements} {item.currency}"
    return (
        f"  {item.stripe_object}: {sides}{f', open {item.open}' if item.is_open else ', settled'}"
    )


def document(found: Trace) -> dict[str, Any]:
    """The whole answer as plain values."""
    return {
        "id": found.target,
        "sentence": found.sentence,
        "records": [_record_fields(each) for each in found.records],
        "transfers_without_record": [_transfer_fields(each) for each in found.stray],
        "letters_without_record": [letter_fields(each) for each in found.letters],
        "unsettled": [each._asdict() for each in found.unsettled],
        "not_searched": list(found.not_searched),
    }


def _record_fields(record: TracedRecord) -> dict[str, Any]:
    event, chain = record.event, record.chain
    return {
        "record": str(record.at),
        "at": _when(record.time_ms),
        "role": record.role,
        "event_id": event.id if event else "",
        "event_type": event.type if event else "",
        "event_created": iso_second(event.created) if event else "",
        "committed": record.committed,
        "outcome": record.verdict,
        "why": record.why,
        "rules": [{"transaction": name, "verdict": answer} for name, answer in record.rules],
        "key": chain.key if chain else "",
        "user_data_128": hex_id(chain.tag) if chain else "",
        "transfers": [_transfer_fields(each) for each in record.transfers],
        "letters": [letter_fields(each) for each in record.letters],
    }


def _transfer_fields(each: TracedTransfer) -> dict[str, Any]:
    return {
        "transfer_id": hex_id(each.transfer.id),
        "leg": each.leg,
        "kind": each.kind,
        "debit_account": each.debit,
        "credit_account": each.credit,
        "amount": str(each.transfer.amount),
        "major_amount": each.amount,
        "currency": each.currency,
        "posted_at": iso_time(each.transfer.timestamp),
        "record": str(each.record) if each.record else "",
        "announced": str(each.announced) if each.announced else "",
    }


def letter_fields(letter: Letter) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "kind": letter.kind,
        "letter": str(letter.at),
        "record": str(letter.about),
        "at": _when(letter.time_ms),
        "reason": letter.reason,
        "detail": letter.detail,
        "leg": letter.leg,
        "attempt": letter.attempt,
        "due": _when(letter.due_ms) if letter.due_ms else "",
        "taken_up": letter.taken_up,
    }


def _when(time_ms: int) -> str:
    """A record's time with milliseconds; a record without one says so."""
    return iso_millisecond(time_ms) if time_ms else "(no time)"
