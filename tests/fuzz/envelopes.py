"""Mutated records of every producer, in process: no crash, and no event with another's id.

Each record has ids of its own, in the event and in its wrapper. A mutation may spoil the event's
id, which then is a word that nobody else has; it never becomes the wrapper's, the object's, or that
of another record.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tests.fuzz.records import ANYTHING
from tests.unit.producers_page import Example, rules_text
from worker.codecs.decode import Decoder
from worker.core.event import Dead, Event
from worker.core.ports import Headers
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.rulebooks.load import load
from worker.stages.decode import EventReader

TOPIC, ROLE = "stripe.payments", "payments"
SPECIAL = b'{}[]",:\\\0\x80\xff 0e-.'
HEADER_TEXTS = (None, b"", b"\xff", b"1.0", b"application/json", b"x" * 300)


class MutatedRecords:
    """Records like one of the page's, each spoiled in another way. The same seed gives the same."""

    def __init__(self, example: Example, seed: int) -> None:
        self._example = example
        self._seed = seed
        self._rng = random.Random(seed)
        self.event_id = ""
        self.ids: set[str] = set()

    def next(self, number: int) -> ArchivedRecord:
        """One more; `event_id` is its own, `ids` are all that were given, and the wrappers'."""
        word = blake2b(f"{self._seed}/{number}".encode(), digest_size=12).hexdigest()
        self.event_id = f"evt_{word}"
        self.ids |= {self.event_id, f"ch_{word}", f"wrapper_{word}"}
        names = {
            b"evt_1": self.event_id.encode(),
            b"ch_1": f"ch_{word}".encode(),
            b"b9d5f3a0": f"wrapper_{word}".encode(),
            b"0f6a1a3c-7f3c-4f7e-9a35-0d0a7d3c5b52": f"wrapper_{word}".encode(),
            b"6a9b1f0e-0e0c-4ab6-8d36-4b1a2f0f7a11": f"wrapper_{word}".encode(),
        }
        value = _renamed(self._example.value, names)
        headers: Headers = [
            (name, None if text is None else _renamed(text, names))
            for name, text in self._example.headers
        ]
        for _ in range(self._rng.choice((0, 1, 1, 2, 3))):
            value = self._mutated(value)
        if self._rng.randrange(8) == 0:
            headers = self._other_headers(headers)
        return ArchivedRecord(TOPIC, 0, number, None, value, headers)

    def _mutated(self, value: bytes) -> bytes:
        return self._bytes(value) if self._rng.randrange(2) else self._fields(value)

    def _bytes(self, value: bytes) -> bytes:
        """Some bytes changed, cut, doubled or added."""
        rng = self._rng
        spoiled, at = bytearray(value or b"x"), rng.randrange(len(value) + 1)
        match rng.randrange(5):
            case 0:
                spoiled[min(at, len(spoiled) - 1)] = rng.choice(SPECIAL)
            case 1:
                del spoiled[at : at + rng.randint(1, 40)]
            case 2:
                spoiled[at:at] = rng.randbytes(rng.randint(1, 4))
            case 3:
                spoiled[at:at] = spoiled[at : at + rng.randint(1, 80)]
            case _:
                del spoiled[at:]
        return bytes(spoiled)

    def _fields(self, value: bytes) -> bytes:
        """A field taken out, or anything in its place; at any depth, in JSON text as well."""
        try:
            content = json.loads(value)
        except ValueError:
            return value
        return json.dumps(self._spoiled(content)).encode(errors="surrogatepass")

    def _spoiled(self, content: Any) -> Any:
        rng = self._rng
        if isinstance(content, list) and content:
            return [self._spoiled(content[0]), *content[1:]]
        if isinstance(content, str) and content.startswith("{") and rng.randrange(4):
            return self._fields(content.encode(errors="surrogatepass")).decode(errors="replace")
        if not isinstance(content, dict) or not content or rng.randrange(8) == 0:
            return rng.choice(ANYTHING)
        name = rng.choice(list(content))
        if rng.randrange(6) == 0:
            return {key: each for key, each in content.items() if key != name}
        return content | {name: self._spoiled(content[name])}

    def _other_headers(self, headers: Headers) -> Headers:
        rng = self._rng
        if not headers or rng.randrange(3) == 0:
            return [*headers, (rng.choice(("id", "type", "ce_specversion")), b"1.0")]
        at = rng.randrange(len(headers))
        return [*headers[:at], (headers[at][0], rng.choice(HEADER_TEXTS)), *headers[at + 1 :]]


def _renamed(text: bytes, names: dict[bytes, bytes]) -> bytes:
    for name, word in names.items():
        text = text.replace(name, word)
    return text


def fuzzed(example: Example, folder: Path, *, seed: int, records: int) -> Counter[str]:
    """What came of so many mutated records of a producer, by kind.

    Raises:
        AssertionError: an event has another's id, or is not read the same twice.
    """
    rules = folder / "rules.yaml"
    rules.write_text(rules_text(example.line))
    reader = EventReader(Decoder(), Translator(load(rules)), {ROLE: TOPIC})
    made = MutatedRecords(example, seed)
    found: Counter[str] = Counter()
    for number in range(records):
        record = made.next(number)
        (event,) = reader.decode([record], [ROLE])
        answer, _ = reader.translate(event, record, role=ROLE)
        if isinstance(event, Event):
            _own(event, made, example, record)
            reader.records.set_aside(event, record, ROLE, record.value() or b"")
            assert event.body["id"] == event.id, "a body that was read again is another event's"
        kind = answer.reason.value if isinstance(answer, Dead) else "chain"
        found["event" if isinstance(event, Event) else "dead"] += 1
        found[kind] += 1
        reader.fitting(record, ROLE)
    return found


def _own(event: Event, made: MutatedRecords, example: Example, record: ArchivedRecord) -> None:
    """Is its id its own, or one that nobody has?"""
    if event.id == made.event_id:
        return
    assert event.id not in made.ids, f"{example.section}: another's id in {record.value()!r}"
    if "object" in example.line:
        return  # its id is made of type and object, or a header's
    said = json.dumps(event.id)[1:-1].encode()
    spelled = {said, said.replace(b"\\", b"\\\\"), event.id.encode(errors="replace")}
    value = record.value() or b""
    assert any(each in value for each in spelled) or b"\\u" in value, "an id that nobody wrote"
