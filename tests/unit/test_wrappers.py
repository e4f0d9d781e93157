"""A record in a wrapper is a dead letter that names it; an event is never taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.codecs.decode import Decoder
from worker.core.event import Dead, Event

EVENT = {"id": "evt_1", "type": "t", "created": 1, "object": "event", "data": {"object": {}}}

# As the producers' documents show them; the event is Stripe's.
EVENTBRIDGE = {
    "version": "0",
    "id": "7bf73129",
    "detail-type": "charge.succeeded",
    "source": "aws.partner/stripe.com/ed_1",
    "account": "1",
    "time": "2026-01-01T00:00:00Z",
    "region": "us-east-1",
    "resources": [],
    "detail": EVENT,
}
CLOUDEVENT = {
    "specversion": "1.0",
    "id": "evt_1",
    "type": "charge.succeeded",
    "source": "/stripe",
    "data": EVENT,
}
EVENTGRID = {
    "id": "evt_1",
    "topic": "/subscriptions/1",
    "subject": "charge",
    "eventType": "charge.succeeded",
    "eventTime": "2026-01-01T00:00:00Z",
    "dataVersion": "1",
    "data": EVENT,
}
CONNECT = {"schema": {"type": "string", "optional": False}, "payload": json.dumps(EVENT)}
DEBEZIUM = {"before": None, "after": EVENT, "source": {"table": "events"}, "op": "c"}
OBJECT = {"id": "ch_1", "object": "charge", "amount": 5}

SHAPES = [
    (EVENTBRIDGE,                         "EventBridge, with the event in `detail`"),
    (CLOUDEVENT,                          "CloudEvents (structured), with the event in `data`"),
    (EVENTGRID,                           "Event Grid, with the event in `data`"),
    (CONNECT,                             "Connect with its schema, with the event in `payload`"),
    (DEBEZIUM,                            "a Debezium change, with the event in `after`"),
    (OBJECT,                              "a bare Stripe object"),
    ({"hello": "world"},                  ""),
    (EVENT | {"data": None},              ""),
]  # fmt: skip


@pytest.mark.parametrize(("body", "like"), SHAPES)
def test_the_wrapper_is_named(body: dict[str, Any], like: str) -> None:
    """The reason ends with what the record looks like, where that is known."""
    found = Decoder().decode(json.dumps(body).encode())
    assert isinstance(found, Dead)
    assert like in found.detail
    assert ("looks like" in found.detail) is bool(like)


def test_an_event_with_more_keys_is_an_event() -> None:
    """What has an event's fields is one, whatever else it has."""
    more = EVENT | {"detail-type": "x", "source": "y", "detail": {}}
    assert isinstance(Decoder().decode(json.dumps(more).encode()), Event)
