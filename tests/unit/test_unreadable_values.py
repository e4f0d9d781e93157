"""What a value that is no event is: its reason says what to change, and names no content."""

from __future__ import annotations

import gzip
import json

import orjson
import pytest

from worker.codecs.decode import Decoder
from worker.core.event import Dead, Event, Reason

EVENT = {"id": "evt_1", "type": "t", "created": 1, "data": {"object": {"card": "4242"}}}
TEXT = json.dumps(EVENT)

VALUES = [
    # value                                                       what the reason says
    (b"\xef\xbb\xbf" + TEXT.encode(),                             "byte order mark"),
    (TEXT.encode("utf-16"),                                       "UTF-16"),
    (TEXT.encode("utf-16-le"),                                    "UTF-16"),
    (TEXT.encode("utf-16-be"),                                    "UTF-16"),
    (b"\xfe\xff" + TEXT.encode("utf-16-be"),                      "UTF-16"),
    (gzip.compress(TEXT.encode()),                                "gzip"),
    (b"\x28\xb5\x2f\xfd\x00",                                     "zstd"),
    (f"[{TEXT},{TEXT}]".encode(),                                 "a JSON list"),
    (f" [{TEXT}]".encode(),                                       "a JSON list"),
    (f"{TEXT}\n{TEXT}\n".encode(),                                "more JSON follows"),
    (orjson.dumps(EVENT | {"é": "é" * 40}) + TEXT.encode(),       "more JSON follows"),
    (TEXT.encode() + b"x",                                        "does not parse"),
    (TEXT.encode()[:-1],                                          "does not parse"),
    (b'{"id": {"a": 1} {"b": 2}',                                 "JSON"),
    (b"id=evt_1",                                                 "neither Avro"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "says"), VALUES)
def test_the_reason_says_what_was_there(value: bytes, says: str) -> None:
    """Encodings, compression, lists and lines of JSON are told from what is just broken."""
    found = Decoder().decode(value)
    assert isinstance(found, Dead)
    assert found.reason is Reason.UNDECODABLE
    assert says in found.detail
    assert "4242" not in found.detail


def test_an_event_with_space_around_it_is_one() -> None:
    """What may follow an object is white space."""
    assert isinstance(Decoder().decode(f" \n{TEXT}\r\n\t ".encode()), Event)
