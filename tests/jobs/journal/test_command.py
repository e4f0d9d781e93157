"""`ledger-worker journal`: shows, asks, and sends each entry once; the page's examples are run."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.unit.books import Books
from worker.codecs.decode import Decoder
from worker.commands.cli import main
from worker.config.settings import PACKAGED_RULEBOOK, PREFIX, load_settings
from worker.core.event import Event
from worker.core.ports import Record
from worker.kafka.topic_reader import read_all

TOPIC = "ledger.journal"
PAGE = (Path(__file__).parents[3] / "docs" / "journal.md").read_text()
EXAMPLES = re.findall(r"```csv\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
HEADER = "entry,account,key,currency,debit,credit,reason,requested_by,approved_by,date\n"
ENTRY = """\
je_1,bank,,usd,60.00,,opening,Ada,Grace,2026-01-01
je_1,customer_wallet,cus_ann,usd,,60.00,,,,
"""
ANSWERS = [("y\n", 0, 1), ("\n", 1, 0), ("n\n", 1, 0)]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Librdkafka's own broker, with the journal topic."""
    cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock"})
    cluster.list_topics(TOPIC, timeout=10)
    (found,) = cluster.list_topics().brokers.values()
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", f"{found.host}:{found.port}")
    yield
    del cluster


def journal(text: str, *options: str) -> int:
    """The exit code of the command for a file of this text."""
    Path("entries.csv").write_text(text)
    return main(["journal", "entries.csv", *options])


def on_topic() -> list[Record]:
    """The records of the journal topic."""
    return read_all(load_settings(), TOPIC)


def at_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """A person at a terminal who types this."""
    typed = io.StringIO(answer)
    typed.isatty = lambda: True  # type: ignore[method-assign] # a terminal that is none
    monkeypatch.setattr(sys, "stdin", typed)


@pytest.mark.parametrize(("text", "shown"), EXAMPLES)
def test_the_page_shows_what_the_command_prints(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example of docs/journal.md, without a broker."""
    assert len(EXAMPLES) == 2
    assert journal(text, "--dry-run") == 0
    assert capsys.readouterr().out == shown


@pytest.mark.usefixtures("broker")
def test_an_entry_is_sent_once(capsys: pytest.CaptureFixture[str]) -> None:
    """However often it is run, the topic has one record; an added entry is sent alone."""
    assert journal(HEADER + ENTRY, "--yes") == 0
    assert capsys.readouterr().out.endswith("1 entry sent to ledger.journal\n")
    assert journal(HEADER + ENTRY) == 0
    assert capsys.readouterr().out.endswith("1 entry there already\n")
    (record,) = on_topic()
    assert record.key() == b"je_1"
    assert journal(HEADER + ENTRY + ENTRY.replace("je_1", "je_2"), "--yes", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["entry"], each["state"]) for each in found["entries"]] == [
        ("je_1", "there_already"),
        ("je_2", "sent"),
    ]
    assert sorted(record.key() or b"" for record in on_topic()) == [b"je_1", b"je_2"]


@pytest.mark.parametrize("changed", [("60.00", "61.00"), ("2026-01-01", "2026-01-02")])
@pytest.mark.usefixtures("broker")
def test_a_name_is_not_used_for_something_else(
    changed: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry that was sent and says something else now, another date too, is refused."""
    assert journal(HEADER + ENTRY, "--yes") == 0
    assert journal(HEADER + ENTRY.replace(*changed), "--yes") == 2
    assert "was sent before and said something else (ledger.journal/" in capsys.readouterr().err
    assert len(on_topic()) == 1


@pytest.mark.usefixtures("broker")
def test_what_else_is_on_the_topic_does_no_harm() -> None:
    """Records that are no entries are passed over."""
    producer = Producer({"bootstrap.servers": os.environ[f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS"]})
    for value in (b"noise", b"{}", b"[]", b'{"data": {"object": 5}}', None):
        producer.produce(TOPIC, value, b"k", partition=0)
    assert producer.flush(30) == 0
    assert journal(HEADER + ENTRY, "--yes") == 0
    assert b"je_1" in [record.key() for record in on_topic()]


@pytest.mark.parametrize(("answer", "code", "records"), ANSWERS)
@pytest.mark.usefixtures("broker")
def test_a_person_is_asked(
    answer: str,
    code: int,
    records: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At a terminal the entries are shown and sent only after a yes."""
    at_terminal(monkeypatch, answer)
    assert journal(HEADER + ENTRY) == code
    told = capsys.readouterr()
    assert "Send 1 entry to ledger.journal? [y/N]" in told.err
    assert ("not sent" in told.out) is (code == 1)
    assert len(on_topic()) == records


@pytest.mark.usefixtures("broker")
def test_without_a_terminal_yes_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is there to be asked: nothing is sent."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert journal(HEADER + ENTRY) == 2
    assert "say --yes" in capsys.readouterr().err
    assert on_topic() == []


def test_mistakes_are_told_by_line_and_nothing_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one line per mistake, before any broker is asked."""
    assert journal(HEADER + ENTRY.replace("bank", "bnak").replace("Grace", "Ada"), "--yes") == 2
    told = capsys.readouterr().err
    assert "entries.csv:2: `account`: the rulebook declares no account 'bnak'" in told
    assert "entries.csv:2: `requested_by` and `approved_by` are one person" in told


def test_a_rulebook_without_the_rule_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the rulebook in force would not post is not sent."""
    text = PACKAGED_RULEBOOK.read_text()
    Path("rules.yaml").write_text(text[: text.index("  journal_entry:\n")])
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", "rules.yaml")
    assert journal(HEADER + ENTRY, "--yes") == 2
    assert "entries.csv:2: the rulebook refuses it" in capsys.readouterr().err


def test_files_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for a file that is missing or no text."""
    assert main(["journal", "nowhere.csv", "--dry-run"]) == 2
    Path("noise.csv").write_bytes(b"\xff\xfe")
    assert main(["journal", "noise.csv", "--dry-run"]) == 2
    assert "is not UTF-8" in capsys.readouterr().err


@pytest.mark.usefixtures("broker")
def test_what_is_sent_is_posted() -> None:
    """The records' own bytes, decoded and posted, give the balances that the page shows."""
    owed = "2026-01,user_receivable,cus_ben,usd,12.00,,refund,Ada,Grace,2026-01-01\n"
    owed += "2026-01,bank,,usd,,12.00,,,,\n"
    for text in (HEADER + owed, *(text for text, _ in EXAMPLES)):
        assert journal(text, "--yes") == 0
    books = Books(PACKAGED_RULEBOOK)
    events: list[Any] = [Decoder().decode(record.value()) for record in on_topic()]
    assert all(isinstance(event, Event) for event in events)
    assert set(books.kinds(*events)) == {"posted"}
    assert books.kinds(*events) == ["redelivered"] * len(events)
    assert books.balances() == {
        "stripe_clearing usd": 157_956, "stripe_reserve usd": 5_000, "bank usd": 998_800,
        "customer_wallet[cus_ann] usd": -81_730, "customer_wallet[cus_ben] usd": -9_000,
        "opening_balances usd": -1_072_726, "stripe_clearing jpy": 25_000,
        "opening_balances jpy": -25_000, "adjustments usd": 500,
        "chargeback_losses[py_ben_1] usd": 1_200,
    }  # fmt: skip
