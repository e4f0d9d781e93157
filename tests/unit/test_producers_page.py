"""docs/producers.md: each line of the rulebook books the record below it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from worker.codecs.decode import Decoder
from worker.codecs.fitting_envelope import fitting_envelope
from worker.core.chain import Chain
from worker.core.event import Event
from worker.core.ports import Headers
from worker.core.topic_rule import PRESETS, shape_of
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.rulebooks.load import load
from worker.stages.decode import EventReader

PAGE = Path(__file__).parents[2] / "docs" / "producers.md"
RULES = """
version: 1
ledgers: {usd: {id: 840, scale: 2}}
topics:
  TOPICS
accounts:
  stripe_clearing: {code: 1100, type: asset}
  customer_wallet: {code: 2001, type: liability, per: customer}
transactions:
  charge:
    on: charge.succeeded
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: data.object.currency
    transfers:
      gross:
        debit: stripe_clearing
        credit: customer_wallet[data.object.customer]
        amount: data.object.amount
        code: 1
"""


class Example(NamedTuple):
    """A line of the page and its record."""

    section: str
    line: str
    headers: Headers
    value: bytes


def examples() -> list[Example]:
    found = []
    for section in PAGE.read_text().split("\n## ")[1:]:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        line, headers = "", list[tuple[str, bytes | None]]()
        for kind, text in blocks:
            if kind == "yaml":
                line, headers = text.strip(), []
            elif kind == "headers":
                pairs = (each.split(": ", 1) for each in text.splitlines())
                headers = [(name, value.encode()) for name, value in pairs]
            elif kind == "json":
                found.append(Example(section.splitlines()[0], line, headers, text.encode()))
    return found


EXAMPLES = examples()
NAMES = [each.section for each in EXAMPLES]


def rules(tmp_path: Path, line: str) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.replace("TOPICS", line))
    return path


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_the_line_books_the_record(example: Example, tmp_path: Path) -> None:
    """12.50 USD of the charge go to ann's wallet, by the fact's own key."""
    rulebook = load(rules(tmp_path, example.line))
    reader = EventReader(Decoder(), Translator(rulebook), {"payments": "stripe.payments"})
    record = ArchivedRecord("stripe.payments", 0, 0, None, example.value, example.headers)
    (event,) = reader.decode([record], ["payments"])
    assert isinstance(event, Event), event
    assert event.type == "charge.succeeded"
    assert event.created == 1767225600
    chain, _ = reader.translate(event, record, role="payments")
    assert isinstance(chain, Chain), chain
    assert (chain.key, chain.legs[0].amount) == ("charge/ch_1", 1250)
    assert chain.legs[0].credit is not None
    assert chain.legs[0].credit.key == "cus_ann"


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_the_record_fits_the_line(example: Example, tmp_path: Path) -> None:
    """Whoever has such a record is told this envelope, where it is not the default."""
    topic = load(rules(tmp_path, example.line)).topics["payments"]
    expected = {topic.shape}
    if "debezium-outbox" in topic.shape:
        expected.add("envelope: connect")  # which reads the same record
    if "cloudevents" in topic.shape and example.headers:
        expected.add("envelope: stripe")  # in binary mode the value is the event
    content = Decoder().content(example.value)
    found = fitting_envelope(content, example.headers, "stripe.payments")
    assert found is not None
    assert shape_of(found.envelope, lenient=found.lenient) in expected


def test_every_preset_has_a_line() -> None:
    """A producer that the rulebook knows is on the page."""
    page = PAGE.read_text()
    assert [name for name in PRESETS if f"envelope: {name}" not in page] == []
