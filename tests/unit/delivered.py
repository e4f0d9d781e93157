"""Stripe's objects and the wallet's commands as they come on a topic: as JSON, and as Avro."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worker.codecs.avro import PACKAGED_IDS, encode_event
from worker.codecs.decode import Decoder
from worker.core.event import Event

OBJECTS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "stripe" / "objects" / "objects.json").read_text()
)
"""Stripe's own sample of each object."""

FEED = "balance_transaction.created"
_SCHEMAS = {"balance_transaction": "stripe_settlement_event", "wallet": "wallet_command"}
_IDS = {name: number for number, name in PACKAGED_IDS.items()}


def delivered(kind: str, content: dict[str, Any], **envelope: Any) -> tuple[Event, Event]:
    """One event as JSON and as Avro bring it. envelope: `data` holds more than the object."""
    more = envelope.pop("data", {})
    body = OBJECTS["event"] | {"type": kind, "data": {"object": content, **more}, **envelope}
    return by_json(body), by_avro(body)


def by_json(body: dict[str, Any]) -> Event:
    """The event that a JSON record holds."""
    event = Decoder().decode(json.dumps(body).encode())
    assert isinstance(event, Event)
    return event


def by_avro(body: dict[str, Any]) -> Event:
    """The event that an Avro record holds; its topic's schema."""
    schema = _SCHEMAS.get(body["type"].split(".")[0], "stripe_payment_event")
    content = body["data"]["object"]
    source = content.get("source")
    if schema == "stripe_settlement_event" and isinstance(source, dict):
        money = {name: source[name] for name in ("amount", "currency")}
        if content["reporting_category"] == "partial_capture_reversal":
            money["amount"] -= source.get("amount_captured", 0)
        content = {**content, "source": source["id"], "source_object": money}
    else:
        content = {name: value for name, value in content.items() if name != "source"}
    body = body | {"data": {**body["data"], "object": content}}
    event = Decoder().decode(encode_event(body, schema, _IDS[schema]))
    assert isinstance(event, Event)
    return event
