"""Bare Stripe objects: the event that headers, the rulebook or the topic's name make of one.

The id is part of what the ledger knows the event by, so it must be another one for each event: it
is the header's, or the type and the object's id. An object that is told again and again under one
type (`….updated`) needs the header.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from worker.core.event import Dead, Reason
from worker.core.json_kinds import kind_of
from worker.core.ports import Headers

TYPE_HEADERS: Final = ("type", "event_type", "ce_type")
ID_HEADERS: Final = ("id", "event_id", "ce_id")
CREATED_HEADERS: Final = ("created", "event_created", "ce_time")
ACCOUNT_HEADERS: Final = ("account", "stripe_account")
"""The headers that name an event's fields: the first of them that is there."""

TOPIC_MARK: Final = "stripe."
"""What follows this in a topic's name is the type: `prod.stripe.charge.succeeded`."""

SECONDS_DIGITS_MAX: Final = 12


class BareObject:
    """One object and what is known of its event.

    only_type: the only type that the rulebook lets the topic carry; empty where there are several.
    """

    def __init__(
        self, content: Mapping[str, Any], headers: Headers, topic: str, only_type: str
    ) -> None:
        self._object = content
        self._headers = headers
        self._topic = topic
        self._only_type = only_type

    def event(self) -> Any:  # noqa: ANN401 - a dict, or a Dead
        """The event as a dict, or a Dead that says what the record lacks."""
        try:
            return self._event()
        except UnicodeDecodeError:
            return Dead(Reason.BAD_KEY, "a header that names the event is not UTF-8")

    def _event(self) -> Any:  # noqa: ANN401 - a dict, or a Dead
        kind = self._object.get("object")
        if not isinstance(kind, str) or not kind:
            return _no_event(f"`object` is {kind_of(kind)}: this is no Stripe object")
        if kind == "event":
            return _no_event("the record is an event, and no bare object: leave out the envelope")
        event_type = self._type()
        event_id = event_type if isinstance(event_type, Dead) else self._id(event_type)
        created = event_id if isinstance(event_id, Dead) else self._created()
        if isinstance(created, Dead):
            return created
        event = {
            "id": event_id,
            "object": "event",
            "type": event_type,
            "created": created,
            "data": {"object": self._object},
        }
        if self._object.get("livemode") is not None:
            event["livemode"] = self._object["livemode"]
        if account := self._header(ACCOUNT_HEADERS):
            event["account"] = account
        return event

    def _type(self) -> str | Dead:
        named = self._header(TYPE_HEADERS) or self._only_type or self._type_by_topic()
        return named or _no_event(
            "nothing names the event's type: neither a header (type, event_type, ce_type), nor the"
            " rulebook by the one type of the topic, nor the topic's name after `stripe.`"
        )

    def _type_by_topic(self) -> str:
        _, mark, named = f".{self._topic}".partition(f".{TOPIC_MARK}")
        return named if mark else ""

    def _id(self, event_type: str) -> str | Dead:
        named = self._header(ID_HEADERS)
        if named:
            return named
        if event_type.endswith(".updated"):
            return _no_event(
                f"no header (id, event_id, ce_id) names the event, and an object has many of"
                f" the type {event_type}"
            )
        own = self._object.get("id")
        if not isinstance(own, str) or not own:
            return _no_event(f"`id` is {kind_of(own)}, and no header names the event")
        return f"{event_type}/{own}"

    def _created(self) -> Any:  # noqa: ANN401 - a number of seconds, or what stands there
        """The header's second, else the object's own."""
        named = self._header(CREATED_HEADERS)
        if not named:
            own = self._object.get("created")
            if own is not None:
                return own
            return Dead(
                Reason.BAD_TIME,
                "`created` is missing, and no header (created, event_created, ce_time) names the"
                " time",
            )
        if named.isascii() and named.isdigit() and len(named) <= SECONDS_DIGITS_MAX:
            return int(named)
        try:
            time = datetime.fromisoformat(named)
        except ValueError:
            return _bad_header()
        return int(time.timestamp()) if time.tzinfo else _bad_header()

    def _header(self, names: tuple[str, ...]) -> str:
        """The first of these headers that has a text; empty where there is none."""
        for name in names:
            for header, value in self._headers:
                if header == name and value:
                    return value.decode()
        return ""


def _no_event(why: str) -> Dead:
    return Dead(Reason.NOT_AN_EVENT, why)


def _bad_header() -> Dead:
    why = "the header that names the event's time is neither whole seconds nor an ISO 8601 time"
    return Dead(Reason.BAD_TIME, f"{why} with its zone")
