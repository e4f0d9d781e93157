"""The generated traffic: deterministic, realistic, and bad exactly where it says so."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import time
from base64 import b64decode
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import Message, Producer

from worker.codecs.avro import PACKAGED_IDS
from worker.codecs.decode import Decoder
from worker.commands import generate as command
from worker.commands.progress import tracked
from worker.config.settings import PACKAGED_RULEBOOK, Settings
from worker.core.chain import Chain
from worker.core.errors import UsageError
from worker.core.event import Dead, Skipped
from worker.core.translate import Translator
from worker.jobs.generate.chance import Chance
from worker.jobs.generate.encode import avro_value, json_value
from worker.jobs.generate.scene import Generated
from worker.jobs.generate.traffic import generate
from worker.rulebooks.load import load

SOME = 3_000
DECODER = Decoder()
SCHEMA_IDS = {name: schema_id for schema_id, name in PACKAGED_IDS.items()}

FIRST_200_OF_SEED_1 = "61c0e23ef0bd4fee15a59c0819d77e793b201b97f5bc34c035a391755c4c7bad"
"""Changes only when scenarios are added: say so in the changelog, since tests count on it."""


@pytest.fixture(scope="module")
def traffic() -> list[Generated]:
    return list(generate(SOME, 1))


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator(load(PACKAGED_RULEBOOK))


def test_the_same_seed_gives_the_same_bytes_for_ever() -> None:
    """The first 200 records of seed 1 are, byte for byte, those of the day this was written."""
    digest = sha256()
    for record in generate(200, 1):
        digest.update(b"\0".join([record.role.encode(), record.key, json_value(record)]))
    assert digest.hexdigest() == FIRST_200_OF_SEED_1


def test_less_traffic_is_the_beginning_of_more(traffic: list[Generated]) -> None:
    """Whoever generated 500 records yesterday finds them in today's 3,000."""
    assert list(generate(500, 1)) == traffic[:500]


def test_seeds_share_no_ids(traffic: list[Generated]) -> None:
    """Traffic of two seeds can go into one ledger: no event of one is one of the other."""
    own, other = (
        {record.event["id"] for record in records if isinstance(record.event, dict)}
        for records in (traffic, generate(SOME, 2))
    )
    assert len(own) > SOME * 9 // 10
    assert not own & other


def test_events_have_ids_of_their_own_unless_redelivered(traffic: list[Generated]) -> None:
    """An id comes twice only as a redelivery, and then with the very same bytes."""
    seen: dict[str, bytes] = {}
    for record in traffic:
        if isinstance(record.event, dict) and "id" in record.event:
            again = record.note.startswith("redelivery: ")
            assert (record.event["id"] in seen) == again
            value = json_value(record)
            assert seen.setdefault(record.event["id"], value) == value


def _asked(translator: Translator, record: Generated, value: bytes) -> Chain | Skipped | Dead:
    decoded = DECODER.decode(value)
    if isinstance(decoded, Dead):
        return decoded
    return translator.translate(decoded, role=record.role)


def test_records_mean_what_their_note_says(
    traffic: list[Generated], translator: Translator
) -> None:
    """By the packaged rulebook poison dies of its reason, and all posts but what moves nothing."""
    for record in traffic:
        asked = _asked(translator, record, json_value(record))
        note = record.note.removeprefix("late: ").removeprefix("redelivery: ")
        if note.startswith("poison: "):
            assert isinstance(asked, Dead)
            assert asked.reason == note.removeprefix("poison: ")
        elif note.startswith("ignored: "):
            assert asked == Skipped("ignored")
        elif note.startswith("empty: "):
            assert asked == Skipped("nothing_to_post")
        else:
            assert isinstance(asked, Chain), (note, asked)


def test_avro_traffic_means_the_same(traffic: list[Generated], translator: Translator) -> None:
    """The same record in Avro asks for the same transfers."""
    for record in traffic[:600]:
        by_json = _asked(translator, record, json_value(record))
        by_avro = _asked(translator, record, avro_value(record, SCHEMA_IDS))
        if isinstance(by_json, Chain):
            assert isinstance(by_avro, Chain)
            assert by_avro.legs == by_json.legs
        else:
            assert by_avro == by_json


def test_most_of_it_is_money_and_some_of_everything(traffic: list[Generated]) -> None:
    """Every kind of record comes, and what goes wrong is rare."""
    kinds = Counter(record.note.split(":")[0] for record in traffic)
    expected = {
        *("charge", "guest charge", "capture", "fee", "platform fee", "p2p", "split bill"),
        *("withdrawal", "withdrawal paid", "withdrawal failed", "exchange"),
        *("refund", "refund failed", "dispute", "dispute won", "dispute lost"),
        *("payout", "payout paid"),
        *("overdraft", "poison", "ignored", "empty", "redelivery", "late"),
    }
    assert expected <= set(kinds)
    assert kinds["overdraft"] + kinds["poison"] < SOME // 50


def test_the_shortest_traffic_has_one_of_each_trouble() -> None:
    """Of a hundred records, whatever the seed, one is poison, one an overdraft, one comes twice."""
    for seed in range(20):
        kinds = Counter(record.note.split(":")[0] for record in generate(100, seed))
        assert {"poison", "overdraft", "redelivery"} <= set(kinds), seed


def test_outcomes_follow_their_withdrawal_under_its_key(traffic: list[Generated]) -> None:
    """A withdrawal's outcome comes well after it and on its partition, redelivered or not."""
    requested: dict[str, tuple[int, bytes]] = {}
    outcomes = 0
    for number, record in enumerate(traffic):
        if record.note == "withdrawal":
            requested[_about(record)["id"]] = number, record.key
        elif "withdrawal " in record.note:
            at, key = requested[_about(record)["id"]]
            assert record.key == key
            assert number >= at + 50
            outcomes += 1
    assert outcomes > 50


def _about(record: Generated) -> dict[str, Any]:
    assert isinstance(record.event, dict)
    about: dict[str, Any] = record.event["data"]["object"]
    return about


def test_what_follows_a_charge_comes_after_it_under_its_key(traffic: list[Generated]) -> None:
    """A refund or dispute has its charge before it, on the same partition."""
    charges: dict[str, tuple[int, bytes]] = {}
    followed = 0
    for number, record in enumerate(traffic):
        note = record.note.removeprefix("late: ")
        if note in {"charge", "guest charge", "capture"}:
            charges[_about(record)["id"]] = number, record.key
        elif note in {"refund", "refund failed", "dispute", "dispute won", "dispute lost"}:
            at, key = charges[_about(record)["charge"]]
            assert (record.key, number > at + 50) == (key, True)
            followed += 1
    assert followed > 50


def test_payouts_balance(traffic: list[Generated]) -> None:
    """Each payout is what the settlement feed had left when it was made, so none is overdrawn."""
    settled: Counter[str] = Counter()
    for record in traffic:
        if not isinstance(record.event, dict) or record.note.startswith(("poison", "redelivery")):
            continue
        about = record.event.get("data", {}).get("object", {})
        if record.note.removeprefix("late: ") == "payout":
            assert about["amount"] >= 10_000
        if record.role == "settlements":
            settled[about["currency"]] += about["net"]
    left = {currency: settled[currency] for currency in ("usd", "eur", "gbp", "jpy")}
    assert all(amount > -60_000 for amount in left.values()), left


def test_in_the_streams_order_only_overdrafts_exceed_a_wallet() -> None:
    """Posted one by one, nobody but the authors of overdrafts spends what is not there."""
    wallets: Counter[tuple[str, str]] = Counter()
    overdrafts = 0
    for record in generate(SOME, 5):
        if record.note.startswith(("poison", "redelivery", "ignored")):
            continue
        for customer, currency, amount in _moves(record):
            wallets[customer, currency] += amount
            if wallets[customer, currency] < 0:
                assert record.note == "overdraft"
                wallets[customer, currency] -= amount
                overdrafts += 1
                break
    assert overdrafts > 5


def _moves(record: Generated) -> list[tuple[str, str, int]]:
    """What a record does to wallets, debits first."""
    about, kind = _about(record), record.note.removeprefix("late: ")
    currency = about.get("currency", "")
    match kind:
        case "charge" | "capture" if about["customer"]:
            return [(about["customer"], currency, about["amount_captured"])]
        case "p2p" | "overdraft":
            amount = about["amount"]
            return [(about["from"], currency, -amount), (about["to"], currency, amount)]
        case "split bill":
            owed = [(each["customer"], currency, -each["amount"]) for each in about["shares"]]
            return [*owed, (about["payer"], currency, -sum(amount for *_, amount in owed))]
        case "withdrawal" | "withdrawal failed":
            sign = -1 if kind == "withdrawal" else 1
            return [(about["customer"], currency, sign * about["amount"])]
        case "exchange":
            sold, bought = about["sell"], about["buy"]
            return [
                (about["customer"], sold["currency"], -sold["amount"]),
                (about["customer"], bought["currency"], bought["amount"]),
            ]
    return []


def test_balance_transactions_add_up(traffic: list[Generated]) -> None:
    """In the settlement feed net = amount − fee, and the fee is the sum of its parts."""
    feed = [_about(record) for record in traffic if record.role == "settlements"]
    assert feed
    for settled in feed:
        assert settled["net"] == settled["amount"] - settled["fee"]
        assert settled["fee"] == sum(part["amount"] for part in settled["fee_details"])


def test_charges_have_the_shape_of_stripes_own(traffic: list[Generated]) -> None:
    """A generated charge has the fields and types of Stripe's sample, and one that is newer."""
    path = Path(__file__).parent.parent / "stripe" / "charge.succeeded.json"
    sample = orjson.loads(path.read_bytes())["data"]["object"]
    made = next(_about(record) for record in traffic if record.note == "charge")
    assert set(made) - set(sample) == {"failure_balance_transaction"}
    for name in set(made) & set(sample):
        if made[name] is not None and sample[name] is not None:
            assert type(made[name]) is type(sample[name]), name


def test_weights_are_kept() -> None:
    """What is to happen 30 times in a thousand does, about."""
    chance = Chance(3)
    assert 200 < sum(chance.happens(30) for _ in range(10_000)) < 400
    assert Counter(chance.pick_weighted([("a", 9), ("b", 1)]) for _ in range(1_000))["a"] > 800


def test_ids_look_like_stripes() -> None:
    """An id is its prefix and 24 letters and digits, like Stripe's."""
    prefix, _, rest = Chance(1).new_id("evt").partition("_")
    assert (prefix, len(rest), rest.isalnum()) == ("evt", 24, True)


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default=None)
    command.configure(parser)
    return command.run(parser.parse_args(arguments))


@pytest.mark.parametrize("encoding", ["json", "avro"])
def test_files_hold_every_record_exactly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    """Each line gives back the topic, key and bytes of its record; the summary counts them."""
    path = tmp_path / "traffic.jsonl"
    options = ("--events", "150", "--seed", "1", "--format", encoding, "--json")
    assert _run(*options, "--to", str(path)) == 0
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    records = list(generate(150, 1))
    for record, line in zip(records, lines, strict=True):
        value = json_value(record) if encoding == "json" else avro_value(record, SCHEMA_IDS)
        held = orjson.dumps(line["value"]) if "value" in line else b64decode(line["value_base64"])
        assert (held, line["key"].encode()) == (value, record.key)
        assert line["topic"].endswith((f".{record.role}", record.role))
    summary = orjson.loads(capsys.readouterr().out)
    assert sum(summary["topics"].values()) == sum(summary["notes"].values()) == 150


def test_a_file_that_cannot_be_written_is_bad_usage(tmp_path: Path) -> None:
    """The error names the file and says why, with the exit code of bad usage."""
    target = tmp_path / "missing" / "traffic.jsonl"
    with pytest.raises(UsageError, match="cannot be written") as refused:
        _run("--events", "1", "--seed", "1", "--to", str(target))
    assert refused.value.exit_code == 2


def test_stdout_holds_records_only() -> None:
    """Written to stdout, the records are alone there; the summary goes to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", "generate", "--events", "20", "--seed", "1"],
        capture_output=True,
        check=True,
    )
    topics = [orjson.loads(line)["topic"] for line in done.stdout.splitlines()]
    assert len(topics) == 20
    assert set(topics) <= {"stripe.payments", "stripe.settlements", "wallet.commands"}
    assert b"20 records of seed 1" in done.stderr


def test_kafka_holds_every_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written to Kafka, each record is on its role's topic with its key and its bytes."""
    cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock"})
    (broker,) = cluster.list_topics().brokers.values()
    brokers = f"{broker.host}:{broker.port}"
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", brokers)
    assert _run("--events", "60", "--seed", "1", "--to", "kafka") == 0
    topics = {"payments": "stripe.payments", "settlements": "stripe.settlements"}
    expected = sorted(
        (topics.get(record.role, "wallet.commands"), record.key, json_value(record))
        for record in generate(60, 1, roles=Settings().topics.inputs)
    )
    assert sorted(_consumed(brokers, sorted({topic for topic, *_ in expected}), 60)) == expected


def _consumed(
    brokers: str, topics: list[str], count: int
) -> list[tuple[str | None, bytes | None, bytes | None]]:
    options = {"bootstrap.servers": brokers, "group.id": "g", "auto.offset.reset": "earliest"}
    consumer = ClientConsumer(options)
    consumer.subscribe(topics)
    deadline = time.monotonic() + 60
    read: list[Message] = []
    while len(read) < count and time.monotonic() < deadline:
        read += [message for message in consumer.consume(count, 0.5) if message.error() is None]
    consumer.close()
    return [(message.topic(), message.key(), message.value()) for message in read]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_on_terminals_only() -> None:
    """A terminal sees a bar that ends full; a pipe sees nothing; items pass either way."""
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        assert list(tracked(range(100), total=100, label="x", stream=stream)) == list(range(100))
    assert terminal.getvalue().endswith("100% 100/100\n")
    assert pipe.getvalue() == ""
