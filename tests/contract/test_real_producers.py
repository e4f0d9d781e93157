"""Records that the producers' own serializers wrote are events by the line that the page gives."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.producers_page import rules_text
from worker.codecs.decode import Decoder
from worker.core.chain import Chain
from worker.core.ports import Headers
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.rulebooks.load import load
from worker.stages.decode import EventReader

RECORDS = Path(__file__).parents[1] / "producers" / "records.jsonl"


class ProducedRecord(NamedTuple):
    """A record as it was written. line: the entry of the rulebook."""

    producer: str
    line: str
    headers: Headers
    value: bytes


def produced(text: str) -> ProducedRecord:
    fields = json.loads(text)
    headers: Headers = [(name, value.encode()) for name, value in fields["headers"].items()]
    value = base64.b64decode(fields["value"])
    return ProducedRecord(fields["producer"], fields["line"], headers, value)


PRODUCED = [produced(line) for line in RECORDS.read_text().splitlines()]


@pytest.mark.parametrize("record", PRODUCED, ids=[each.producer for each in PRODUCED])
def test_a_real_record_is_booked_by_one_line(record: ProducedRecord, tmp_path: Path) -> None:
    """The same event and money from each, with the event's own id."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(rules_text(f'payments: {{types: ["charge.*"], {record.line}}}'))
    reader = EventReader(Decoder(), Translator(load(rules)), {"payments": "stripe.payments"})
    read = ArchivedRecord("stripe.payments", 0, 0, None, record.value, record.headers)
    (event,) = reader.decode([read], ["payments"])
    chain, _ = reader.translate(event, read, role="payments")
    assert isinstance(chain, Chain), chain
    assert (chain.event.id, chain.event.created) == ("evt_1", 1_767_225_600)
    assert (chain.key, chain.legs[0].amount) == ("charge/ch_1", 1250)
    assert chain.legs[0].credit is not None
    assert chain.legs[0].credit.key == "cus_ann"


def test_every_real_record_fits_an_entry_that_reads_it(tmp_path: Path) -> None:
    """Whoever finds one of them on a topic is told a line that books it."""
    plain = tmp_path / "plain.yaml"
    plain.write_text(rules_text('payments: {types: ["charge.*"]}'))
    asked = EventReader(Decoder(), Translator(load(plain)), {"payments": "t"})
    for record in PRODUCED:
        read = ArchivedRecord("t", 0, 0, None, record.value, record.headers)
        shape = asked.fitting(read, "payments")
        rules = tmp_path / "rules.yaml"
        rules.write_text(rules_text(f'payments: {{types: ["charge.*"], {shape}}}'))
        reader = EventReader(Decoder(), Translator(load(rules)), {"payments": "t"})
        (event,) = reader.decode([read], ["payments"])
        chain, _ = reader.translate(event, read, role="payments")
        assert isinstance(chain, Chain), (record.producer, shape, chain)
