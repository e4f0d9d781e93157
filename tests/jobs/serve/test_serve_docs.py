"""docs/serve.md: its JSON is what the server answers, and its JavaScript does what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.jobs.serve.money import Money
from tests.jobs.serve.served import PATIENCE_SECONDS, WALLET, Served
from worker.jobs.serve.answers import REASONS

PAGE = (Path(__file__).parents[3] / "docs" / "serve.md").read_text()


@pytest.fixture(autouse=True)
def _the_page_s_money(money: Money) -> None:
    """100.00 paid in, 30.00 sent on, 20.00 reserved."""
    money.charged("cus_1", 10_000)
    money.sent("cus_1", "cus_2", 3_000)
    money.withdrawn("cus_1", 2_000)


def test_the_answer_on_the_page(served: Served) -> None:
    """The example is the server's own answer, field by field and in order."""
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    found = served.get(f"{WALLET}/cus_1?currency=usd").body
    assert list(json.loads(shown).items()) == list(json.loads(found).items())


def test_every_reason_is_on_the_page() -> None:
    """The table of refusals has each reason at its status."""
    rows = [line.split("|") for line in PAGE.splitlines() if line.count("|") == 4]
    told = {
        (status, reason)
        for row in rows
        for status in re.findall(r"\d{3}", row[1])
        for reason in re.findall(r"`(\w+)`", row[2])
    }
    assert {(str(status), reason) for reason, (status, _) in REASONS.items()} <= told


def test_the_javascript_on_the_page(money: Money, served: Served, tmp_path: Path) -> None:
    """Node reads what is available, and the command that it makes is posted once."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node: put `node` 18 or newer on PATH")
    for block in re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / block.split()[1]).write_text(block)
    program = (
        'import { available } from "./balance.mjs"; import { payment } from "./command.mjs";'
        'const refused = await available("cus_1", "zzz").catch((error) => error.message);'
        'const left = (await available("cus_1", "usd")).toString();'
        'console.log(JSON.stringify([left, refused, payment("cus_1", "cus_2", 5000, "usd")]));'
    )
    done = subprocess.run(
        [node, "--input-type=module", "--eval", program],
        cwd=tmp_path,
        env={**os.environ, "LEDGER_URL": f"http://127.0.0.1:{served.port}", "LEDGER_TOKEN": ""},
        capture_output=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    left, refused, command = json.loads(done.stdout)
    assert (left, command["key"]) == ("5000", "cus_1")
    assert refused.startswith("unknown_currency: the rulebook has no ledger")
    body = json.loads(command["value"])
    event = money.event(
        body["type"], body["data"]["object"], id=body["id"], created=body["created"]
    )
    assert money.kinds(event) == ["posted"]
    assert money.kinds(event) == ["redelivered"]
    assert served.get(f"{WALLET}/cus_1?currency=usd").json["available"] == "0"
