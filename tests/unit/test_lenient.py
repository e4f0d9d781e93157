"""`lenient: true`: what means one thing only is taken, and what could mean two stays dead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worker.codecs.decode import Decoder
from worker.codecs.lenient import relaxed
from worker.core.chain import Chain
from worker.core.event import Dead
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.rulebooks.load import load
from worker.stages.decode import EventReader

RULES = """
version: 1
ledgers: {usd: {id: 840, scale: 2}}
topics:
  strict: {types: ["charge.*"]}
  lenient: {types: ["charge.*"], lenient: true}
  wrapped: {types: ["charge.*"], lenient: true, envelope: eventbridge}
accounts:
  clearing: {code: 1100, type: asset}
  wallet: {code: 2001, type: liability, per: customer}
transactions:
  charge:
    on: charge.succeeded
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: data.object.currency
    transfers:
      gross:
        debit: clearing
        credit: wallet[data.object.customer]
        amount: data.object.amount
        code: 1
"""
CUSTOMER = {"id": "cus_1", "object": "customer", "email": "ann@example.com"}
CHARGE = {"id": "ch_1", "object": "charge", "created": 1767225600, "amount": 1000,
          "currency": "usd", "customer": "cus_1"}  # fmt: skip
EVENT = {"id": "evt_1", "type": "charge.succeeded", "created": 1767225600}


@pytest.fixture(name="reader", scope="module")
def _reader(tmp_path_factory: pytest.TempPathFactory) -> EventReader:
    path = Path(tmp_path_factory.mktemp("rules")) / "rules.yaml"
    path.write_text(RULES)
    return EventReader(Decoder(), Translator(load(path)))


def made(reader: EventReader, role: str, event: dict[str, Any], **changes: Any) -> Any:
    body = event | {"data": {"object": CHARGE | changes}}
    value = json.dumps({"detail": body} if role == "wrapped" else body).encode()
    record = ArchivedRecord("t", 0, 0, None, value)
    (found,) = reader.decode([record], [role])
    return found if isinstance(found, Dead) else reader.translate(found, record, role=role)[0]


SHAPES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"customer": CUSTOMER}, "bad_key data.object.customer is not a string but an object"),
    (
        {},
        {"currency": "USD"},
        "unknown_currency data.object.currency is no currency with a ledger: it is in capitals",
    ),
    (
        {},
        {"amount": 1000.0},
        "bad_amount data.object.amount is not a whole number of minor units but a fraction",
    ),
    (
        {},
        {"amount": "1000"},
        "bad_amount data.object.amount is not a whole number of minor units but a text",
    ),
    ({}, {"created": 1767225600123}, "bad_time data.object.created is not a second"),
    (
        {},
        {"created": "2026-01-01T00:00:00Z"},
        "bad_time data.object.created is not a second within 0 to 253402300799 but a text",
    ),
    ({"created": 1767225600999}, {}, "bad_time `created` is outside"),
    ({"created": 1767225600999999}, {}, "bad_time `created` is outside"),
    ({"created": 1767225600999999999}, {}, "bad_time `created` is outside"),
    ({"created": 1767225600.0}, {}, "bad_time `created` is a fraction"),
    ({"created": "2026-01-01T01:00:00+01:00"}, {}, "bad_time `created` is a text"),
    ({"created": "2026-01-01T00:00:00.750Z"}, {}, "bad_time `created` is a text"),
]


@pytest.mark.parametrize(("event", "content", "strict"), SHAPES)
def test_such_a_shape_is_the_same_fact_only_where_the_rulebook_says_so(
    reader: EventReader, event: dict[str, Any], content: dict[str, Any], strict: str
) -> None:
    """The same ids and money as in Stripe's shape; without the line a reason that says the kind."""
    plain = made(reader, "strict", EVENT)
    assert isinstance(plain, Chain)
    for role in ("lenient", "wrapped"):
        chain = made(reader, role, EVENT | event, **content)
        assert isinstance(chain, Chain), chain
        assert chain.legs == plain.legs
        assert chain.event.created == plain.event.created
    dead = made(reader, "strict", EVENT | event, **content)
    assert isinstance(dead, Dead)
    reason, _, words = strict.partition(" ")
    assert (dead.reason, words in dead.detail) == (reason, True), dead
    assert "USD" not in dead.detail
    assert "cus_1" not in dead.detail


AMBIGUOUS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"amount": 10.5}),
    ({}, {"amount": "10.00"}),
    ({}, {"amount": "1e3"}),
    ({}, {"amount": " 1000"}),
    ({}, {"amount": "0100"}),
    ({}, {"amount": 2.0**60}),
    ({}, {"amount": True}),
    ({}, {"currency": "Usd"}),
    ({}, {"customer": {"id": "cus_1"}}),
    ({}, {"customer": {"object": "customer"}}),
    ({"created": "2026-01-01T00:00:00"}, {}),
    ({"created": "20260101"}, {}),
    ({"created": "1767225600"}, {}),
    ({"created": 1767225600.5}, {}),
    ({"created": -1}, {}),
    ({"created": True}, {}),
    ({"created": 10**30}, {}),
]


@pytest.mark.parametrize(("event", "content"), AMBIGUOUS)
def test_what_could_mean_two_things_stays_dead(
    reader: EventReader, event: dict[str, Any], content: dict[str, Any]
) -> None:
    """Nothing is guessed."""
    assert isinstance(made(reader, "lenient", EVENT | event, **content), Dead)


def test_stripes_own_shape_is_untouched() -> None:
    """In all of Stripe's examples nothing changes but an expanded object."""
    bodies = {
        path.name: json.loads(path.read_text()) for path in Path("tests/stripe").glob("*.json")
    }
    changed = {name for name, body in bodies.items() if relaxed(body) != body}
    assert changed == {"payment_intent.payment_failed.json"}  # its error has a payment method


def test_what_the_feed_expands_stays_expanded() -> None:
    """Rules of the packaged rulebook read inside `source` and `transfer`."""
    source = {"id": "ch_1", "object": "charge", "transfer": {"id": "tr_1", "object": "transfer"}}
    body = {"data": {"object": {"source": source}}}
    assert relaxed(body) == body


def test_a_deep_record_is_left_as_it_is() -> None:
    """What nests deeper than anything of Stripe's costs no stack."""
    deep: Any = 1.0
    for _ in range(900):
        deep = [deep]
    assert relaxed({"data": {"object": deep}}) == {"data": {"object": deep}}
