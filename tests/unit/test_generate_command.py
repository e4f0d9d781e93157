"""`ledger-worker generate`: files, Kafka, and Stripe's report."""

from __future__ import annotations

import argparse
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from worker.codecs.avro import PACKAGED_IDS
from worker.commands import generate as command
from worker.config.settings import PACKAGED_RULEBOOK, Settings, load_settings
from worker.core.errors import UsageError
from worker.jobs.generate.encode import avro_value, json_value
from worker.jobs.generate.traffic import generate
from worker.jobs.reconcile.stripe_report import read_report
from worker.kafka.topic_reader import read_all
from worker.rulebooks.load import load

SCHEMA_IDS = {name: schema_id for schema_id, name in PACKAGED_IDS.items()}


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default=None)
    command.configure(parser)
    return command.run(parser.parse_args(arguments))


@pytest.mark.parametrize("encoding", ["json", "avro"])
def test_files_hold_every_record_exactly(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    encoding: str,
) -> None:
    """Each line gives back the topic, key and bytes of its record; the summary counts them."""
    ids = {str(schema_id): name for schema_id, name in PACKAGED_IDS.items()}
    monkeypatch.setenv("LEDGER_WORKER_SCHEMA_REGISTRY__IDS", orjson.dumps(ids).decode())
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


def test_stripes_report_is_one_that_reconcile_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--stripe-report writes the rows that the feed told, and every payout in it ties."""
    path = tmp_path / "report.csv"
    options = ("--events", "3000", "--seed", "1", "--to", str(tmp_path / "traffic.jsonl"), "--json")
    assert _run(*options, "--stripe-report", str(path)) == 0
    summary = orjson.loads(capsys.readouterr().out)
    rows = list(read_report(path, load(PACKAGED_RULEBOOK)))
    assert len(rows) == summary["stripe_report_rows"] > 500
    sums: Counter[str] = Counter()
    for row in rows:
        sums[row.payout] += row.net
    del sums[""]
    assert len(sums) > 5
    assert set(sums.values()) == {0}


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
    for topic in ("stripe.payments", "stripe.settlements", "wallet.commands"):
        cluster.list_topics(topic)  # the mock makes what is asked for
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", brokers)
    assert _run("--events", "60", "--seed", "1", "--to", "kafka") == 0
    topics = {"payments": "stripe.payments", "settlements": "stripe.settlements"}
    expected = sorted(
        (topics.get(record.role, "wallet.commands"), record.key, json_value(record))
        for record in generate(60, 1, roles=Settings().topics.inputs)
    )
    settings = load_settings()
    found = [
        (record.topic(), record.key(), record.value())
        for topic in sorted({topic for topic, *_ in expected})
        for record in read_all(settings, topic)
    ]
    assert sorted(found) == expected
