"""Rejected events: one JSON record each, keyed by the event, as `schemas/rejected_event.avsc` says.

A replay can write a rejection again; de-duplicate by `ce_id` (event id and attempt). `ce_time` is
the event's: a refusal leaves no time in the ledger.
"""

from __future__ import annotations

from typing import Final

import orjson

from worker.codecs.headers import JSON_TYPE, TRACEPARENT, cloud_headers, headers_of, traceparent
from worker.core.event import Event
from worker.core.iso_times import iso_second
from worker.core.ports import Announcement, Headers, Record

REJECTED: Final = "ledger.event.rejected"


class RejectedEncoder:
    """Encodes rejections.

    source: CloudEvents' source, a URI reference.
    rulebook_digest: of the rulebook in force.
    """

    def __init__(self, *, topic: str, source: str, rulebook_digest: str) -> None:
        self._topic = topic
        self._fixed_headers = cloud_headers(
            kind=REJECTED, source=source, content_type=JSON_TYPE, rulebook=rulebook_digest
        )

    def encode(  # noqa: PLR0913 - what, where and why
        self,
        record: Record,
        event: Event,
        *,
        transaction: str,
        leg: str,
        reason: str,
        attempt: int,
    ) -> Announcement:
        """The announcement that the ledger refused an event.

        record: the one that brought it.
        leg: the leg refused, empty when not known.
        reason: the ledger's status in lower_snake_case, or `rejected_before`.
        attempt: the one that was refused.
        """
        created = iso_second(event.created)
        value = orjson.dumps(
            {
                "event_id": event.id,
                "event_type": event.type,
                "event_created": created,
                "transaction": transaction,
                "leg": leg,
                "reason": reason,
                "attempt": attempt,
                "topic": record.topic(),
                "partition": record.partition(),
                "offset": record.offset(),
            }
        )
        headers: Headers = [
            ("ce_id", f"{event.id}/{attempt}".encode()),
            ("ce_time", created.encode()),
            *self._fixed_headers,
        ]
        trace = traceparent(headers_of(record))
        if trace is not None:
            headers.append((TRACEPARENT, trace))
        return Announcement(self._topic, event.id.encode(), value, headers)
