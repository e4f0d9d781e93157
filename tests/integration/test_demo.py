"""The demo: the whole worker on an embedded broker and ledger."""

from __future__ import annotations

import json

import pytest

from worker.commands.cli import main


def test_the_demo_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole worker on an embedded broker: nothing differs, and something of everything came."""
    assert main(["demo", "--events", "400", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["agrees"]
    assert figures["differences"] == []
    assert figures["announced"] == figures["transfers"] > 200
    assert figures["rejected"] == figures["events"]["overdraft"]
    assert {"posted", "redelivered", "rejected", "dead"} <= set(figures["outcomes"])
    assert figures["stripe_balance"] == figures["stripe_clearing"]
    assert set(figures["stripe_balance"]) == {"usd", "eur", "gbp", "jpy"}
