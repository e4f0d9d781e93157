"""Letters go through again on the embedded broker, once, and end where they belong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.jobs.junk import FAR_MS, junk
from worker.codecs.dead_letters import DeadLetters
from worker.commands.cli import main
from worker.config.settings import Settings, load_settings
from worker.core.errors import DependencyUnavailable
from worker.core.event import Dead, Reason
from worker.core.ports import Announcement, Record
from worker.jobs.live.compose import with_broker
from worker.jobs.progress import Progress
from worker.jobs.redrive import run as redriving
from worker.jobs.redrive.filter import LetterFilter
from worker.jobs.redrive.run import RedriveResult, redrive
from worker.jobs.redrive.select import Kind, RedriveRequest
from worker.kafka.topic_reader import read_all

PAYMENTS, COMMANDS = "stripe.payments", "wallet.commands"
DEAD, REJECTED = "ledger.events.dead", "ledger.events.rejected"
NO_RULE = Dead(Reason.NO_RULE, "no rule")
BROKEN = Dead(Reason.UNDECODABLE, "no event")
SENT_MS = 1_760_000_000_000
JUNK_BYTES_MAX = 100_000


def event(number: str, kind: str, **fields: Any) -> bytes:
    body = {"id": number, "type": kind, "created": 1_760_000_000, "data": {"object": fields}}
    return json.dumps(body).encode()


def p2p(number: str) -> bytes:
    told = {"id": f"p_{number}", "from": "cus_a", "to": "cus_b", "amount": 50}
    return event(number, "wallet.p2p", currency="usd", **told)


@dataclass(slots=True)
class RedriveBroker:
    """One broker for one test; its letters are written as the worker writes them."""

    settings: Settings

    def write(self, *records: Announcement) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka.bootstrap_servers})
        for one in records:
            headers: Any = one.headers
            producer.produce(
                one.topic, one.value, one.key, headers=headers, timestamp=one.timestamp_ms
            )
        assert producer.flush(30) == 0

    def send(self, topic: str, *values: bytes) -> list[Record]:
        """Records of a producer, as they were read."""
        sent = [Announcement(topic, b"cus_a", one, [("own", b"1")], SENT_MS) for one in values]
        self.write(*sent)
        return [one for one in self.read(topic) if one.value() in values]

    def bury(self, record: Record, why: Dead, *, redact: bool = False) -> None:
        letters = DeadLetters(topic=DEAD, group="g", rulebook_digest="ab", redact=redact)
        self.write(letters.letter(record, why, stage="translate"))

    def refuse(self, record: Record, *, attempt: int = 0, offset: int | None = None) -> None:
        told = {
            "event_id": json.loads(record.value() or b"")["id"],
            "event_type": "wallet.p2p",
            "event_created": "2025-10-09T08:53:20Z",
            "transaction": "p2p",
            "leg": "transfer",
            "reason": "exceeds_credits",
            "attempt": attempt,
            "topic": record.topic(),
            "partition": record.partition(),
            "offset": record.offset() if offset is None else offset,
        }
        self.write(Announcement(REJECTED, None, json.dumps(told).encode(), []))

    def redrive(self, kind: Kind, where: str, **options: Any) -> RedriveResult:
        asked = RedriveRequest(kind, LetterFilter(where), note="mended", operator="ann", **options)
        return redrive(self.settings, asked, progress=Progress(), embedded_broker=True)

    def read(self, topic: str) -> list[Record]:
        return read_all(self.settings, topic)


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedriveBroker]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "embedded")
    with with_broker(load_settings(), [REJECTED, DEAD]) as reachable:
        servers = reachable.kafka.bootstrap_servers
        monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", servers)
        yield RedriveBroker(reachable)


def test_a_dead_letter_goes_through_again_once(books: RedriveBroker) -> None:
    """Original key, bytes and time on the original topic, with who and why; never a second time."""
    good, bad = books.send(PAYMENTS, event("evt_1", "no.such"), b"not an event")
    books.bury(good, NO_RULE)
    books.bury(bad, BROKEN)
    done = books.redrive("dead", "reason=no_rule")
    assert (done.read, done.chosen, done.redriven, done.lost) == (2, 1, 1, [])
    assert done.records[0].fields["event_type"] == "no.such"
    first, again = (one for one in books.read(PAYMENTS) if one.value() != b"not an event")
    assert (again.key(), again.value()) == (first.key(), first.value())
    assert again.timestamp() == first.timestamp()
    told = dict(again.headers() or [])
    assert told.pop("own") == b"1"
    assert told["ledger_worker.redrive_reason"] == b"mended"
    assert told["ledger_worker.redrive_operator"] == b"ann"
    assert (told["ledger_worker.redriven_from"] or b"").startswith(b"ledger.events.dead/")
    assert len(told) == 3
    repeated = books.redrive("dead", "reason=no_rule")
    assert (repeated.read, repeated.redriven) == (0, 0)
    assert books.redrive("dead", "reason=undecodable").read == 2
    assert books.redrive("dead", "reason=no_rule", again=True).redriven == 1
    assert len(books.read(PAYMENTS)) == 5


def test_it_goes_on_where_it_was_interrupted(
    books: RedriveBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redrive that ends between two transactions is finished by the next; nothing goes twice."""
    sent = {event(f"evt_{number}", "no.such") for number in range(12)}
    for record in books.send(PAYMENTS, *sent):
        books.bury(record, NO_RULE)
    monkeypatch.setattr(redriving, "PORTION", 3)
    monkeypatch.setattr(RedriveResult, "add", _after(2, RedriveResult.add))
    with suppress(DependencyUnavailable):
        books.redrive("dead", "reason=no_rule")
    monkeypatch.undo()
    assert len(books.read(PAYMENTS)) == 12 + 6
    books.redrive("dead", "reason=no_rule")
    values = [one.value() for one in books.read(PAYMENTS)]
    assert len(values) == 24
    assert set(values) == sent


def test_each_letter_goes_once_however_often_it_was_written(books: RedriveBroker) -> None:
    """Letters of one record count as one, in one run and in a later one; `--again` sends anew."""
    first, second = books.send(PAYMENTS, event("evt_1", "no.such"), event("evt_2", "no.such"))
    for record in (first, first, second):
        books.bury(record, NO_RULE)
    assert books.redrive("dead", "reason=no_rule").redriven == 2
    books.bury(first, NO_RULE)
    assert books.redrive("dead", "reason=no_rule").redriven == 0
    (asked,) = books.send(COMMANDS, p2p("evt_p"))
    for _ in range(2):
        books.refuse(asked)
    assert books.redrive("rejected", "true", new_attempt=True).redriven == 1
    assert books.redrive("dead", "reason=no_rule", again=True).redriven == 2


def _after(calls: int, add: Callable[..., None]) -> Callable[..., None]:
    left = [calls]

    def adding(result: RedriveResult, choices: Any) -> None:
        add(result, choices)
        left[0] -= 1
        if not left[0]:
            raise DependencyUnavailable("the process was stopped here")

    return adding


def test_a_rejection_goes_as_a_new_attempt(books: RedriveBroker) -> None:
    """Its record is read where the rejection says, and goes as the attempt after that."""
    for record in books.send(COMMANDS, p2p("evt_other"), p2p("evt_p")):
        books.refuse(record)
    would = books.redrive("rejected", "event_id=evt_p", new_attempt=True, dry_run=True)
    assert (would.redriven, len(books.read(COMMANDS))) == (1, 2)
    assert books.redrive("rejected", "event_id=evt_p", new_attempt=True).redriven == 1
    last = books.read(COMMANDS)[-1]
    assert (last.key(), last.value()) == (b"cus_a", p2p("evt_p"))
    assert dict(last.headers() or [])["ledger_worker.attempt"] == b"1"


def test_attempts_count_up_from_the_highest_and_end(books: RedriveBroker) -> None:
    """Only an event's newest refusal is redriven, one above; after attempt 7 there is none."""
    (record,) = books.send(COMMANDS, p2p("evt_p"))
    books.refuse(record)
    books.refuse(record, attempt=4)
    sent = books.redrive("rejected", "true", new_attempt=True)
    assert (sent.read, sent.redriven) == (2, 1)
    last = dict(books.read(COMMANDS)[-1].headers() or [])
    assert last["ledger_worker.attempt"] == b"5"
    books.refuse(record, attempt=7)
    ended = books.redrive("rejected", "true", new_attempt=True)
    assert (ended.chosen, ended.redriven) == (1, 0)
    assert "attempt 7" in ended.lost[0].why


def test_the_command_names_what_cannot_go(
    books: RedriveBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 and one line for each letter without its record; reason and operator are asked for."""
    (record,) = books.send(COMMANDS, p2p("evt_x"))
    books.refuse(record, offset=99)
    assert main(["redrive", "--from", "rejected", "--where", "true"]) == 2
    assert "--reason and --operator" in capsys.readouterr().err
    nothing = ["redrive", "--from", "rejected", "--where", "reason=exceeds_credit", "--dry-run"]
    assert main(nothing) == 0
    assert "chose none of them; their reasons: exceeds_credits 1" in capsys.readouterr().out
    assert main(["redrive", "--from", "rejected", "--where", "true", "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert "1 cannot" in said
    assert "@99 is not in its topic any more" in said
    arguments = ["redrive", "--from", "rejected", "--where", "true", "--reason", "r"]
    assert main([*arguments, "--operator", "ann", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["chosen"], told["redriven"]) == (1, 0)
    assert told["not_redrivable"][0]["event_id"] == "evt_x"


def test_a_redacted_letter_is_read_where_it_was(books: RedriveBroker) -> None:
    """The value comes from the original topic, whose record still has the letter's SHA-256."""
    value = event("evt_1", "no.such", card="4242")
    (record,) = books.send(PAYMENTS, value)
    books.bury(record, NO_RULE, redact=True)
    (letter,) = books.read(DEAD)
    assert letter.value() == b""
    assert books.redrive("dead", "true").redriven == 1
    assert [one.value() for one in books.read(PAYMENTS)] == [value, value]


def test_letters_that_are_none_are_items(books: RedriveBroker) -> None:
    """Of any headers, time and value: each is named with what is wrong, and the others go."""
    (good,) = books.send(PAYMENTS, event("evt_1", "no.such"))
    books.bury(good, NO_RULE)
    for topic in (DEAD, REJECTED):
        books.write(
            *(
                Announcement(topic, one.key(), one.value(), list(one.headers() or []), FAR_MS[0])
                for one in junk(topic)
                if sum(len(text or b"") for _, text in one.headers() or []) < JUNK_BYTES_MAX
            )
        )
    dead, refused = books.redrive("dead", "true"), books.redrive("rejected", "true")
    assert dead.redriven == 1
    assert dead.read > dead.chosen == len(dead.lost) + 1  # copies of one letter are one
    assert refused.redriven == 0
    assert refused.read >= len(refused.lost) > 0
    assert all(each.why for each in (*dead.lost, *refused.lost))
    assert "9999-12-31T23:59:59Z" in {str(each.fields["time"]) for each in refused.lost}
