"""docs/producers.md: each line of the rulebook books the record below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.producers_page import PAGE, Example, examples, rules_text
from worker.codecs.decode import Decoder
from worker.codecs.fitting_envelope import fitting_envelope
from worker.core.chain import Chain
from worker.core.event import Event
from worker.core.topic_rule import PRESETS, shape_of
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.rulebooks.load import load
from worker.stages.decode import EventReader

EXAMPLES = examples()
NAMES = [each.section for each in EXAMPLES]


def rules(tmp_path: Path, line: str) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(rules_text(line))
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
