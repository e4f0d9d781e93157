"""A lost ledger is made again from the outbox, and is the old one but for times and positions."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.replay.lost import BEGAN, TOPIC, Lost
from tests.jobs.reports.played import Played, line_of, play
from worker.commands.cli import main
from worker.core.translate import Translator
from worker.core.wire import AMOUNT_MAX, CreateTransferStatus, QueryFilter, Transfer, pack_transfer
from worker.jobs.archive.records import ArchivedRecord
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import load
from worker.stages.post.variants import variants

EVENTS = 400
OUTBOX = "ledger.transfers.posted"
PAYMENTS = "stripe.payments"
Topics = dict[str, list[ArchivedRecord]]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A small day; the ledger's file is closed so that commands can open it."""
    played = play(EVENTS, seed=9, folder=tmp_path_factory.mktemp("day"))
    played.ledger.close()
    return played


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a ledger that is not there yet; the settings name it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{tmp_path / 'new.file'}")
    return tmp_path / "new.file"


def rebuilt(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["replay", "--json", *arguments]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_it_equals_the_lost_one(day: Played, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every transfer, balance and account; and again it finds everything there."""
    archive = str(day.archive(new.parent / "all.jsonl"))
    asked = ("--rebuild", "--from-files", archive)
    found = rebuilt(capsys, *asked, "--verify-against", f"embedded:{day.ledger_file}")
    assert found["transfers"] == len(day.records[OUTBOX]) > EVENTS // 2
    assert found["verified"]["transfers"] == found["transfers"]
    assert found["verified"]["differences"] == 0
    order = [one.id for one in transfers(new)]
    assert order == [one.id for one in transfers(day.ledger_file)]
    again = rebuilt(capsys, *asked)
    assert (again["transfers"], again["chains_found"]) == (0, found["chains"])
    assert main(["replay", "--verify-against", f"embedded:{day.ledger_file}"]) == 0
    assert "equal but for timestamps and positions" in capsys.readouterr().out


def transfers(path: Path) -> list[Transfer]:
    ledger = EmbeddedLedger(path=path)
    found = ledger.query_transfers(QueryFilter())
    ledger.close()
    return found


def test_what_was_refused_stays_refused(
    day: Played, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rejected event that comes again is refused, also where the money is there by now."""
    rebuilt(capsys, "--rebuild", "--from-files", str(day.archive(new.parent / "all.jsonl")))
    rejected = {json.loads(one.value() or b"")["event_id"] for one in rejections(day)}
    assert rejected
    ledger = EmbeddedLedger(path=new)
    for told in map(json.loads, (one.value() or b"" for one in rejections(day))):
        record = day.records[told["topic"]][_at(day, told)]
        assert statuses(ledger, record) == [CreateTransferStatus.ID_ALREADY_FAILED]
    ledger.close()


def rejections(day: Played) -> list[ArchivedRecord]:
    return day.records["ledger.events.rejected"]


def _at(day: Played, told: dict[str, Any]) -> int:
    place = (told["partition"], told["offset"])
    records = day.records[told["topic"]]
    return next(n for n, one in enumerate(records) if (one.partition(), one.offset()) == place)


def statuses(ledger: EmbeddedLedger, record: ArchivedRecord) -> list[int]:
    """What the ledger says to the first leg of a record's event, as a transfer of its own."""
    from worker.codecs.decode import Decoder  # noqa: PLC0415 - here only
    from worker.config.settings import PACKAGED_RULEBOOK, Settings  # noqa: PLC0415 - here only
    from worker.core.event import Event  # noqa: PLC0415 - here only

    event = Decoder().decode(record.value())
    assert isinstance(event, Event)
    roles = {topic: role for role, topic in Settings().topics.inputs.items()}
    chain = next(variants(Translator(load(PACKAGED_RULEBOOK)), event, role=roles[record.topic()]))
    leg = chain.legs[0]
    assert leg.debit is not None
    assert leg.credit is not None
    row = Transfer(leg.id, leg.debit.id, leg.credit.id, 1, ledger=leg.currency.ledger, code=1)
    return [one.status for one in ledger.create_transfers(pack_transfer(row))]


def test_attempts_suspense_shortfalls_and_settled_reservations(
    new: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each chain is posted as it was: at its attempt, diverted, with the shares that it took."""
    lost = Lost(new.parent)
    spend_id(lost, "f2")
    assert lost.take("f1", "fund", at=0, to="a", amount=100) == "posted"
    assert lost.take("f2", "fund", at=1, to="a", amount=7) == "posted"  # to suspense
    assert lost.take("m1", "move", at=2, payer="a", to="b", amount=120) == "rejected"
    assert lost.take("f3", "fund", at=3, to="a" * 40, amount=50) == "posted"
    assert lost.take("b3", "back", at=4, of="f3", amount=10) == "posted"
    assert lost.take("f4", "fund", at=5, to="a", amount=60) == "posted"
    redriven = lost.take("m1", "move", at=6, attempt=1, payer="a", to="b", amount=120)
    assert redriven == "posted"
    assert lost.take("h1", "hold", at=7, payer="a", amount=15) == "posted"
    assert lost.take("s1", "settle", at=7, of="h1", then=BEGAN) == "posted"
    assert lost.take("t1", "take", at=8, payer="a", amount=300) == "posted"
    found = again(lost, new, monkeypatch, capsys)
    assert found["verified"]["differences"] == 0
    assert found["ids_spent"] == 2  # of m1 at attempt 0, and of f2 before it went to suspense


@pytest.mark.parametrize(("setting", "value"), [("LIVEMODE", "true"), ("ACCOUNT", "acct_later")])
def test_what_was_booked_is_rebuilt_whatever_the_guards_are_today(
    new: Path,
    setting: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A guard that came later refuses new events; it does not refuse what the outbox tells of."""
    lost = Lost(new.parent)
    event = {"livemode": False, "account": "acct_earlier"}
    assert lost.take("f1", "fund", at=0, event=event, to="a", amount=100) == "posted"
    monkeypatch.setenv(f"LEDGER_WORKER_EVENTS__{setting}", value)
    assert again(lost, new, monkeypatch, capsys)["verified"]["differences"] == 0


def test_another_event_of_the_same_id_is_not_taken_for_it(
    new: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two records of one id the posted one is found, also where the other is read first."""
    lost = Lost(new.parent)
    lost.take("f1", "fund", at=0, to="a", amount=100)
    assert lost.take("f1", "fund", at=1, to="a", amount=101) == "conflict"
    lost.played.records[TOPIC].reverse()
    assert again(lost, new, monkeypatch, capsys)["verified"]["differences"] == 0


def again(
    lost: Lost,
    new: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    code: int = 0,
) -> dict[str, Any]:
    """The lost ledger rebuilt and compared."""
    lost.played.ledger.close()
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(lost.rules))
    archive = str(lost.played.archive(new.parent / "lost.jsonl"))
    against = f"embedded:{lost.played.ledger_file}"
    asked = ("--rebuild", "--from-files", archive, "--verify-against", against)
    return rebuilt(capsys, *asked, code=code)


def spend_id(lost: Lost, number: str) -> None:
    """The ledger refuses this event's first id from now on, as after an account was closed."""
    event = {"id": number, "type": "fund", "created": BEGAN}
    event["data"] = {"object": {"to": "a", "amount": 7}}
    (found,) = lost.reader._decoder.decode_all([json.dumps(event).encode()])
    rules = Translator(load(lost.rules))
    chain = next(variants(rules, found, role="commands"))  # type: ignore[arg-type] # it is an event
    row = Transfer(chain.legs[0].id, 1, 2, 1, ledger=840, code=1)
    (result,) = lost.played.ledger.create_transfers(pack_transfer(row))
    assert result.status == CreateTransferStatus.DEBIT_ACCOUNT_NOT_FOUND


def test_expired_reservations_come_last(
    new: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They do not stand in the way of what was posted after them, and expire once more."""
    lost = Lost(new.parent)
    lost.take("f1", "fund", at=0, to="a", amount=100)
    lost.take("h1", "hold", at=1, payer="a", amount=100)
    assert lost.take("m1", "move", at=10, payer="a", to="b", amount=80) == "posted"
    lost.take("h2", "hold", at=20, payer="b", amount=30)
    lost.take("f2", "fund", at=30, to="c", amount=1)
    first = again(lost, new, monkeypatch, capsys, code=1)
    assert (first["expired_reservations"], first["expired_unfit"]) == (1, ["h1"])
    assert {one["field"] for one in first["verified"]["items"]} >= {"missing", "state"}
    time.sleep(1.2)
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(lost.rules))
    against = f"embedded:{lost.played.ledger_file}"
    (left,) = rebuilt(capsys, "--verify-against", against, code=1)["verified"]["items"]
    assert (left["what"], left["field"]) == ("transfer", "missing")


def test_an_interrupted_one_goes_on(
    day: Played, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where half of it is there already, the other half is posted."""
    half = dict(day.records)
    told = sorted(half[OUTBOX], key=lambda one: int(fields(one)["ledger_timestamp"]))
    cut = len(told) // 2
    while fields(told[cut])["leg_number"]:
        cut += 1
    half[OUTBOX] = told[:cut]
    first = rebuilt(capsys, "--rebuild", "--from-files", written(half, new.parent))
    assert first["transfers"] == cut
    archive = str(day.archive(new.parent / "all.jsonl"))
    against = f"embedded:{day.ledger_file}"
    asked = ("--rebuild", "--from-files", archive, "--verify-against", against)
    second = rebuilt(capsys, *asked)
    assert second["chains_found"] == first["chains"]
    assert second["transfers"] == len(told) - cut
    assert second["verified"]["differences"] == 0


def fields(record: ArchivedRecord) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.value() or b"")
    return found


def written(topics: Topics, folder: Path) -> str:
    path = folder / "spoiled.jsonl"
    lines = [line_of(record) for records in topics.values() for record in records]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def without_a_leg(topics: Topics) -> None:
    topics[OUTBOX] = [one for one in topics[OUTBOX] if one is not split_leg(topics)]


def split_leg(topics: Topics) -> ArchivedRecord:
    return next(one for one in topics[OUTBOX] if fields(one)["leg_count"] > 1)


def without_an_event(topics: Topics) -> None:
    gone = fields(topics[OUTBOX][0])["event_id"].encode()
    for topic in (PAYMENTS, "stripe.settlements", "wallet.commands"):
        topics[topic] = [one for one in topics[topic] if gone not in (one.value() or b"")]


def without_an_outbox(topics: Topics) -> None:
    del topics[OUTBOX]


def other_amount(topics: Topics) -> None:
    edit(topics, amount=str(AMOUNT_MAX >> 70))


def other_account(topics: Topics) -> None:
    edit(topics, debit_account_id="1" * 32)


def other_id(topics: Topics) -> None:
    edit(topics, transfer_id="1" * 32)


def edit(topics: Topics, **changed: Any) -> None:
    first = topics[OUTBOX][0]
    value = json.dumps(fields(first) | changed).encode()
    topics[OUTBOX] = [replace(first, value_bytes=value), *topics[OUTBOX][1:]]


def without_funds(topics: Topics) -> None:
    """The chains that gave the first mover its money are not told: what it spent is refused."""
    move = next(one for one in topics[OUTBOX] if fields(one)["transaction"] == "p2p")
    owner = fields(move)["debit_account_id"]
    funding = {
        fields(one)["event_id"]
        for one in topics[OUTBOX]
        if fields(one)["credit_account_id"] == owner
    }
    topics[OUTBOX] = [one for one in topics[OUTBOX] if fields(one)["event_id"] not in funding]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_a_leg,      "chains are not whole in the outbox"),
        (without_an_event,   "events that the outbox tells of are not in the input topics"),
        (without_an_outbox,  "there is nothing to rebuild from"),
        (other_amount,       "the rulebook makes another transfer of it"),
        (other_account,      "the rulebook names another debit account"),
        (other_id,           "the rulebook makes other transfers of the event"),
        (without_funds,      "the ledger answered exceeds_credits"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_sentence(
    spoil: Callable[[Topics], None],
    said: str,
    day: Played,
    new: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2 and nothing that looks like a result."""
    topics = dict(day.records)
    spoil(topics)
    assert main(["replay", "--rebuild", "--from-files", written(topics, new.parent)]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert (out, err.count("\n")) == ("", 1)


def test_a_ledger_that_holds_something_else_is_refused(
    day: Played, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is posted into it, and the comparison lists the stranger."""
    archive = str(day.archive(new.parent / "all.jsonl"))
    shutil.copy(day.ledger_file, new)
    ledger = EmbeddedLedger(path=new)
    like = next(one for one in ledger.query_transfers(QueryFilter()) if one.flags == 0)
    stranger = like._replace(id=like.id + 1, timestamp=0, pending_id=0)
    (result,) = ledger.create_transfers(pack_transfer(stranger))
    assert result.status == CreateTransferStatus.CREATED
    ledger.close()
    assert main(["replay", "--rebuild", "--from-files", archive]) == 2
    assert "1 transfers are in the ledger that the outbox does not tell" in capsys.readouterr().err
    against = f"embedded:{day.ledger_file}"
    items = rebuilt(capsys, "--verify-against", against, code=1)["verified"]["items"]
    assert ("transfer", f"{stranger.id:032x}", "added") in {
        (one["what"], one["id"], one["field"]) for one in items
    }
    assert {one["field"] for one in items if one["what"] == "account"} == {
        "debits_posted",
        "credits_posted",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rebuild", "--apply"],                         "takes no --apply"),
        (["--rebuild", "--from", "2026-01-01"],            "takes no --from"),
        (["--verify-against", "embedded"],                 "an in-memory ledger is new"),
        (["--verify-against", "embedded:absent"],          "there is no ledger file"),
        (["--verify-against", "1", "--from-files", "x"],   "takes no --from-files"),
        (["--rebuild", "--from-files", "absent.jsonl"],    "cannot be read"),
        (["--verify-cluster-id", "3"],                     "goes with --verify-against"),
        (["--rebuild"],                                    "an embedded broker is new"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_sentence(
    arguments: list[str],
    said: str,
    new: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2, said before anything is read."""
    EmbeddedLedger(path=new).close()
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "embedded")
    assert main(["replay", *arguments]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
