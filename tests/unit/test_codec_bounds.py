"""What bytes may hold, at each bound: times, ids, types, and Avro's whole numbers."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import orjson
import pytest

from worker.codecs.dead_letters import (
    BLOCK,
    ENVELOPE_BYTES_MAX,
    LEFT_OUT_HEADER,
    DeadLetters,
    record_bytes,
)
from worker.codecs.decode import TEXT_BYTES_MAX, Decoder
from worker.codecs.outbox import avro_bytes, avro_long, avro_string
from worker.core.event import CREATED_MAX, Dead, Event, Reason
from worker.core.ports import Announcement, Headers
from worker.jobs.archive.records import ArchivedRecord

EVENT: dict[str, Any] = {"id": "evt_1", "type": "charge", "created": 5, "data": {"object": {}}}
TIMES = [(0, None), (-1, Reason.BAD_TIME), (CREATED_MAX, None), (CREATED_MAX + 1, Reason.BAD_TIME)]
TEXTS = [
    ("x", None),
    ("é", None),
    ("x" * TEXT_BYTES_MAX, None),
    ("x" * (TEXT_BYTES_MAX + 1), Reason.BAD_KEY),
    ("é" * (TEXT_BYTES_MAX // 2), None),
    ("é" * (TEXT_BYTES_MAX // 2 + 1), Reason.BAD_KEY),
    ("", Reason.NOT_AN_EVENT),
    (None, Reason.NOT_AN_EVENT),
    (7, Reason.NOT_AN_EVENT),
]


def reason(**changes: Any) -> Reason | None:
    """Why the event cannot be one; None when it is."""
    found = Decoder().decode(orjson.dumps(EVENT | changes))
    assert isinstance(found, Event | Dead)
    return found.reason if isinstance(found, Dead) else None


@pytest.mark.parametrize(("created", "dead"), TIMES)
def test_times(created: int, dead: Reason | None) -> None:
    """From 1970 to the last second of the year 9999."""
    assert reason(created=created) is dead


@pytest.mark.parametrize(("text", "dead"), TEXTS)
@pytest.mark.parametrize("name", ["id", "type"])
def test_ids_and_types(name: str, text: object, dead: Reason | None) -> None:
    """Any text of so many bytes of UTF-8."""
    assert reason(**{name: text}) is dead


@pytest.mark.parametrize("data", [None, [], "x", {}, {"object": None}, {"object": []}])
def test_an_event_has_an_object(data: object) -> None:
    """Else there is nothing to read of it."""
    assert reason(data=data) is Reason.THIN_EVENT


@pytest.mark.parametrize("bits", range(0, 63, 7))
def test_whole_numbers_are_avros(bits: int) -> None:
    """Around each number of bytes as fastavro writes them."""
    for number in {max(0, (1 << bits) + more >> one) for more in (-1, 0, 1) for one in (0, 1)}:
        written = BytesIO()
        fastavro.schemaless_writer(written, {"type": "long"}, number)
        assert avro_long(number) == written.getvalue()


@pytest.mark.parametrize("size", [0, 1, 62, 63, 64, 65, 127, 128, 8191, 8192])
def test_texts_are_avros(size: int) -> None:
    """The length in bytes, not in characters."""
    for text in ("x" * size, "é" * size):
        written = BytesIO()
        fastavro.schemaless_writer(written, {"type": "string"}, text)
        assert avro_string(text) == avro_bytes(text.encode()) == written.getvalue()


@pytest.mark.parametrize(("more", "whole"), [(0, True), (1, False)])
def test_a_large_record_s_letter_keeps_what_is_small(more: int, *, whole: bool) -> None:
    """Key and headers up to 64 KiB together, counted in bytes, and nothing of them beyond."""
    headers: Headers = [("é", b"12345"), ("none", None)]
    key = b"k" * (ENVELOPE_BYTES_MAX - len("é".encode()) - 5 - len("none") + more)
    record = ArchivedRecord("t", 0, 5, key, b"{}", headers, 1000)
    why = Dead(Reason.NO_RULE, "no rule")
    letter = DeadLetters(topic="dead", group="g", rulebook_digest="").too_large(
        record, why, stage="post"
    )
    assert letter.key == (key if whole else None)
    assert letter.headers[:2] == headers if whole else letter.headers[0][0] == BLOCK[0]
    assert dict(letter.headers).get(LEFT_OUT_HEADER) == (None if whole else b"key, headers")
    assert letter.value == b""
    assert letter.timestamp_ms == 1000


def test_a_record_takes_its_bytes_and_the_lengths_of_its_headers() -> None:
    """Ten bytes for each header at worst; what is absent takes none."""
    headers: Headers = [("é", b"12345"), ("none", None)]
    assert record_bytes(Announcement("t", b"key", b"value", headers)) == 3 + 5 + 2 + 5 + 4 + 20
    assert record_bytes(Announcement("t", None, None, [])) == 0
