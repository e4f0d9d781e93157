"""`trace` on real servers: one worker's run with every outcome, and ids of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.integration.every_outcome import Told, run_with_every_outcome
from tests.servers.kafka import KafkaBroker
from worker.commands.cli import main

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]

Ask = Callable[..., Told]


@pytest.fixture
def ask(
    kafka: KafkaBroker,
    ledger: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ask:
    """Traces an id in the run, and reads the JSON."""
    cluster = run_with_every_outcome(kafka, ledger, monkeypatch)

    def asked(text: str, *options: str) -> Told:
        text = text.replace("TOPIC", cluster.prefix)
        assert main(["trace", text, "--json", *options]) == 0, text
        found: Told = json.loads(capsys.readouterr().out)
        return found

    return asked


def outcomes(found: Told) -> list[tuple[str, str]]:
    return [(each["event_id"], each["outcome"]) for each in found["records"]]


def test_ids_of_every_kind(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind of id leads to the record, its transfers, letters and announcement."""
    paid = ask("evt_1")
    settled = ("bt/txn_1", "posted")
    assert outcomes(paid) == [("evt_1", "posted"), ("evt_1", "redelivered"), settled]
    (transfer,) = paid["records"][0]["transfers"]
    assert transfer["leg"] == "charge.gross"
    assert (transfer["major_amount"], transfer["currency"]) == ("10.01", "usd")
    assert transfer["announced"].split("/")[0].endswith(".posted")
    assert paid["sentence"].startswith("evt_1 was posted by charge: 1 transfer at ")
    assert "announced; 1 more redelivered" in paid["sentence"]

    ways = [transfer["transfer_id"], transfer["announced"], transfer["record"], "ch_1", "txn_1"]
    for way in ways:
        found = ask(way)
        assert ("evt_1", "posted") in outcomes(found), way
        assert ("bt/txn_1", "posted") in outcomes(found) or way != "txn_1"
    for way in ("txn_1", "ch_1", "evt_1"):
        assert [each["is_open"] for each in ask(way)["unsettled"]] == [False], way

    conflict = ask("evt_other")
    assert ("evt_other", "conflict") in outcomes(conflict)
    assert "42.00 eur" in conflict["sentence"]
    assert "10.01 usd" in conflict["sentence"]

    poor = ask("cmd_poor")
    assert outcomes(poor) == [("cmd_poor", "rejected")]
    assert "exceeds_credits at the leg payment" in poor["sentence"]
    assert "1000.00 usd was asked of customer_wallet[cus_1], which had 5.01" in poor["sentence"]
    assert "994.99 too little" in poor["sentence"]
    letter = poor["records"][0]["letters"][0]["letter"]
    assert outcomes(ask(letter)) == [("cmd_poor", "rejected")]

    waits = ask("re_1")
    assert outcomes(waits) == [("evt_refund", "parked")]
    (parked,) = waits["records"][0]["letters"]
    assert (parked["kind"], parked["taken_up"]) == ("parked", False)
    assert parked["due"] > parked["at"]
    assert outcomes(ask(parked["letter"])) == [("evt_refund", "parked")]

    assert outcomes(ask("evt_ignored")) == [("evt_ignored", "ignored")]
    assert outcomes(ask("evt_thing")) == [("evt_thing", "dead")]
    assert outcomes(ask("cmd_paid")) == [("cmd_paid", "posted")]
    assert outcomes(ask("cmd_new")) == [("cmd_new", "not_read_yet")]
    assert outcomes(ask("TOPIC.pay/0@0"))[0] == ("evt_1", "posted")

    assert main(["trace", "evt_nobody"]) == 1
    assert "evt_nobody: nothing in the ledger" in capsys.readouterr().out
    assert main(["trace", "TOPIC.pay/0@999".replace("TOPIC", "nowhere")]) == 2
