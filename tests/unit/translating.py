"""What the translation's tests share: the rules in translate.yaml, events, and chains as tuples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from worker.core.chain import Chain
from worker.core.event import Event
from worker.core.translate import Translator
from worker.rulebooks.load import load

SECONDS = 1_700_000_000


ONE = {"id": "p1", "created": 5, "currency": "usd", "customer": "c1", "amount": 250, "test": False}


MOVE = {"from": "c1", "to": "c2", "currency": "usd", "amount": 100, "fee": None}


GONE = object()


def new_translator() -> Translator:
    """A translator for the rules beside this file."""
    return Translator(load(Path(__file__).with_name("translate.yaml")))


def event(event_type: str, content: object, *, created: int = SECONDS, **envelope: object) -> Event:
    """An event with this `data.object`."""
    body = {"id": "evt_1", "type": event_type, "created": created, "data": {"object": content}}
    return Event("evt_1", event_type, created, {**body, **envelope})


def changed(content: Mapping[str, object], **changes: object) -> dict[str, object]:
    """The content with fields changed, or taken out when they are GONE."""
    return {key: value for key, value in {**content, **changes}.items() if value is not GONE}


def chain_of(translator: Translator, asked: Event, *, attempt: int = 0) -> Chain:
    """The chain that an event must make."""
    found = translator.translate(asked, role="other", attempt=attempt)
    assert isinstance(found, Chain), found
    return found


def legs_of(chain: Chain) -> list[tuple[str, str, str, int]]:
    """Name, debit, credit and amount of each leg, families with their key."""
    return [
        (
            leg.spec.name,
            f"{leg.debit.name}:{leg.debit.key}".rstrip(":") if leg.debit else "",
            f"{leg.credit.name}:{leg.credit.key}".rstrip(":") if leg.credit else "",
            leg.amount,
        )
        for leg in chain.legs
    ]
