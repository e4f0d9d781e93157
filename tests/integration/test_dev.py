"""`dev`: one command shows a running worker with pages, and Ctrl-C takes it down."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.servers.waiting import until

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"LEDGER_WORKER_SERVE__PORT": "0", "PYTHONPATH": str(ROOT)}


def shown(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - our own server
        return str(answer.read().decode())


def test_everything_in_one_command(tmp_path: Path) -> None:
    """Traffic is posted, the pages show it, SIGINT ends it with 0 and says what was done."""
    said = tmp_path / "said"
    with said.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "worker", "dev", "--events", "300"],
            env=ENVIRONMENT,
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        (example,) = until(lambda: re.findall(r"for example (\S+/trace\S+)", said.read_text()))
        page = shown(example)
        assert 'class="verdict good">posted' in page
        assert "not found on the outbox" not in page
        address = example.partition("/trace")[0]
        status = shown(f"{address}/status")
        assert "this process" in status
        assert "Nothing was ever posted" not in status
        assert "stripe_unsettled" in shown(f"{address}/open")
        live = json.loads(shown(f"{address}/v1/accounts/stripe_unsettled?currency=usd"))
        assert live["exists"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert re.search(r"\n[\d,]+ events: .*[\d,]+ posted", said.read_text())
    assert said.read_text().endswith("taken down; nothing is left behind\n")
    assert [path.name for path in tmp_path.iterdir()] == ["said"]
