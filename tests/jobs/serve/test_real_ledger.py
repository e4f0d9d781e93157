"""The server beside a worker, as two clients of one real TigerBeetle cluster."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from secrets import token_hex

import pytest

from tests.jobs.serve.money import Money
from tests.jobs.serve.served import PATIENCE_SECONDS, WALLET, serve
from worker.commands.cli import main
from worker.jobs.serve.server import listen
from worker.ledger.open import open_ledger

pytestmark = pytest.mark.tigerbeetle


def test_a_reader_beside_the_writer_sees_its_postings(tigerbeetle_address: str) -> None:
    """Whatever the writing client was told to be posted, the reading one shows at once."""
    name = token_hex(4)
    path = f"{WALLET}/cus_{name}?currency=usd"
    writing = open_ledger(
        addresses=tigerbeetle_address, cluster_id=0, deadline_seconds=PATIENCE_SECONDS
    )
    reading = open_ledger(addresses=tigerbeetle_address, cluster_id=0, deadline_seconds=None)
    with closing(writing), serve(reading) as served:
        assert served.get(path).json["exists"] is False
        money = Money(ledger=writing, name=name)
        for paid in range(1, 21):
            money.charged(f"cus_{name}", 100)
            assert served.get(path).json["available"] == str(100 * paid)
        money.withdrawn(f"cus_{name}", 500)
        found = served.get(path).json
        assert (found["posted"], found["pending"], found["available"]) == ("2000", "500", "1500")
        assert found["limit"] == "debits_must_not_exceed_credits"


def test_a_ledger_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no cluster answers, the command ends with one sentence and exit code 3."""
    free = listen("127.0.0.1", 0)
    address = "{}:{}".format(*free.getsockname())
    free.close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", address)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__DEADLINE_SECONDS", "0.3")
    monkeypatch.setenv("LEDGER_WORKER_LOG__LEVEL", "error")  # the client tells of each attempt
    monkeypatch.setenv("LEDGER_WORKER_SERVE__PORT", "0")
    assert main(["serve"]) == 3
    assert "the ledger did not answer in 0.3 s; a wrong address" in capsys.readouterr().err
