"""Archives in every form give the same records, and broken ones a sentence."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from fastavro import writer

from worker.commands.cli import main
from worker.core.errors import UsageError
from worker.jobs.archive.files import read_archives
from worker.jobs.archive.records import ArchivedRecord

RECORD = {
    "topic": "stripe.payments",
    "partition": 3,
    "offset": 17,
    "timestamp": 1_767_225_600_000,
    "key": "cus_1",
    "headers": [["traceparent", "00-ab"], ["raw", None, "/w=="], ["none", None]],
    "value": {"id": "evt_1", "type": "a.b", "created": 1, "data": {"object": {}}},
}
NOISE = {"topic": "stripe.payments", "value_base64": "/wA="}
LINES = (json.dumps(RECORD) + "\n\n" + json.dumps(NOISE) + "\n").encode()
EXPECTED = [
    ArchivedRecord(
        "stripe.payments",
        3,
        17,
        b"cus_1",
        json.dumps(RECORD["value"], separators=(",", ":")).encode(),
        [("traceparent", b"00-ab"), ("raw", b"\xff"), ("none", None)],
        1_767_225_600_000,
    ),
    ArchivedRecord("stripe.payments", 0, 0, None, b"\xff\0", has_position=False),
]
SCHEMA = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": ["null", "int"]},
        {"name": "offset", "type": ["null", "long"]},
        {"name": "timestamp", "type": ["null", "long"]},
        {"name": "key", "type": ["null", "bytes"]},
        {"name": "value", "type": ["null", "bytes"]},
        {
            "name": "headers",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Header",
                    "fields": [
                        {"name": "name", "type": "string"},
                        {"name": "value", "type": ["null", "bytes"]},
                    ],
                },
            },
        },
    ],
}


def container() -> bytes:
    rows = [
        {
            "topic": one.topic(),
            "partition": one.partition() if one.has_position else None,
            "offset": one.offset() if one.has_position else None,
            "timestamp": one.timestamp_ms or None,
            "key": one.key(),
            "value": one.value(),
            "headers": [{"name": name, "value": value} for name, value in one.header_list],
        }
        for one in EXPECTED
    ]
    stream = io.BytesIO()
    writer(stream, SCHEMA, rows)
    return stream.getvalue()


def zstd(content: bytes) -> bytes:
    """Two frames, as a log that is appended to has them."""
    half = len(content) // 2
    pack = zstandard.ZstdCompressor().compress
    return pack(content[:half]) + pack(content[half:])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("content", [LINES, container()], ids=["lines", "avro"])
def test_every_form_gives_the_same_records(
    content: bytes, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """JSON lines and Avro containers, compressed or not, hold the same records."""
    path = tmp_path / "archive"
    path.write_bytes(pack(content))
    assert list(read_archives([path])) == EXPECTED


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("content", [LINES, container()], ids=["lines", "avro"])
def test_a_cut_is_noticed_wherever_it_is(
    content: bytes, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """A compressed file that lost its end is refused at every length but that of whole frames."""
    path = tmp_path / "archive"
    packed = pack(content)
    first = len(zstandard.ZstdCompressor().compress(content[: len(content) // 2]))
    for size in range(5, len(packed)):
        if pack is zstd and size == first:
            continue
        path.write_bytes(packed[:size])
        with pytest.raises(UsageError, match=r"cut short|damaged"):
            list(read_archives([path]))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"topic": "t", "val',                              "not JSON, or cut short"),
        ("[1]",                                              "no JSON object"),
        ('{"value": {}}',                                    "`topic` is missing"),
        ('{"topic": "t"}',                                   "`value` is missing"),
        ('{"topic": "t", "value": 1}',                       "`value` is neither text nor bytes"),
        ('{"topic": "t", "value_base64": "%"}',              "`value_base64` is not base64"),
        ('{"topic": "t", "value": {}, "headers": [[1]]}',    "a header is not"),
        ('{"topic": "t", "value": {}, "headers": {}}',       "`headers` is no list"),
        ('{"topic": "t", "value": {}, "partition": -1, "offset": 2}', "`partition` is not a whole"),
        ('{"id": "e", "type": "t", "created": 1}',           "it is an event and names no topic"),
    ],
)  # fmt: skip
def test_a_broken_record_is_named(line: str, says: str, tmp_path: Path) -> None:
    """The sentence says which record it is, and nothing that it holds."""
    path = tmp_path / "archive.jsonl"
    path.write_text(json.dumps(RECORD) + "\n" + line + "\n")
    with pytest.raises(UsageError, match="record 2: ") as raised:
        list(read_archives([path]))
    assert says in str(raised.value)


def test_events_without_a_topic(tmp_path: Path) -> None:
    """Plain events belong to the topic that the caller names, one after the other."""
    path = tmp_path / "events.jsonl"
    event: Any = RECORD["value"]
    path.write_text(f"{json.dumps(event)}\n" * 2)
    found = list(read_archives([path, path], topic="stripe.payments"))
    assert [(one.topic(), one.offset()) for one in found] == [
        ("stripe.payments", number) for number in range(4)
    ]
    assert json.loads(found[0].value() or b"") == event


def test_what_generate_writes_is_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`generate --to FILE` and the archive reader agree."""
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "--events", "300", "--seed", "1", "--to", "traffic.jsonl"]) == 0
    found = list(read_archives([tmp_path / "traffic.jsonl"]))
    assert len(found) == 300
    assert {one.topic() for one in found} == {
        "stripe.payments",
        "stripe.settlements",
        "wallet.commands",
    }
