"""The runbooks' drills on real servers: commands are read from the runbooks and run as they are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.test_docs import command_lines
from tests.integration.cluster import ROOT, RUN_SECONDS_MAX, Cluster, audit, read_ledger
from tests.servers.kafka import JARS, KafkaBroker
from tests.servers.tigerbeetle import TigerBeetleServer, TigerBeetleUnavailable, tigerbeetle
from worker.commands.cli import main
from worker.rulebooks.load import PACKAGED

RUNBOOKS = "docs/runbooks"
CREATED = 1_775_000_000
"""After the days that the runbooks' commands begin at."""

THING = {"object": {"id": "thing_1", "object": "thing"}}
QUICKSTART_FILES = [
    ("journal.md", "csv", "opening.csv"),
    ("first-rule.md", "yaml", "tips.yaml"),
    ("first-rule.md", "json", "tip.json"),
    ("convert.md", "adr", "sales.ledger"),
]
"""The pages whose first block in that language is a file that the quickstart uses."""

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]


def commands(document: str, heading: str) -> list[list[str]]:
    """The `ledger-worker` commands in a section's code, in order."""
    text = (ROOT / document).read_text()
    section = re.split(rf"^## {re.escape(heading)}$", text, flags=re.MULTILINE)[1].split("\n## ")[0]
    code = "\n".join(re.findall(r"^ {4}.+$", section, re.MULTILINE))
    found = command_lines(code)
    assert found, f"{document}: {heading} has no commands"
    return found


def charges(first: int, count: int) -> list[dict[str, Any]]:
    """Payments of one customer each; every third customer then pays another."""
    return [
        {
            "id": f"evt_{number}",
            "type": "charge.succeeded",
            "created": CREATED + number,
            "data": {
                "object": {
                    "id": f"ch_{number}",
                    "created": CREATED + number,
                    "amount": 1000 + number,
                    "currency": "usd",
                    "customer": f"cus_{number % 7}",
                    "paid": True,
                    "captured": True,
                    "status": "succeeded",
                }
            },
        }
        for number in range(first, first + count)
    ]


def test_after_a_crash(kafka: KafkaBroker, ledger: str) -> None:
    """A worker dies in its work and starts again: the runbook's checks end with 0, all is there."""
    cluster = Cluster(kafka.bootstrap_servers, ledger)
    cluster.extra["LEDGER_WORKER_KAFKA__TRANSACTIONAL_ID"] = f"{cluster.prefix}-0"
    cluster.extra["LEDGER_WORKER_KAFKA__GROUP_INSTANCE_ID"] = "pod-0"
    cluster.extra["LEDGER_WORKER_BATCH__EVENTS_MAX"] = "25"
    cluster.produce("pay", charges(0, 200))
    worker = cluster.start("g", "run")
    cluster.wait_until_told(50)
    worker.kill()
    worker.communicate()
    cluster.drain("g")
    look, compare = commands(f"{RUNBOOKS}/recovery.md", "A worker crashed")
    assert "FAIL" not in cluster.command("g", *look)
    # No feed of settlements takes part, so that every charge is an open item.
    agreed = cluster.command("g", *compare, "--settle-days", "9999")
    assert re.search(r"matched +200 ", agreed)
    assert "no differences yet; 200 open on stripe_unsettled" in agreed
    assert audit(cluster, ledger) == (200, 200)


def test_a_ledger_is_restored_from_a_copy(kafka: KafkaBroker, tmp_path: Path) -> None:
    """What came after the copy is posted again from the topics: same transfers, same balances.

    What differs is what the runbook says: those transfers are announced twice.
    """
    try:
        with tigerbeetle(development=True, data_dir=tmp_path) as server:
            restore(Cluster(kafka.bootstrap_servers, server.address), server, tmp_path)
    except TigerBeetleUnavailable as missing:
        pytest.skip(str(missing))


def restore(cluster: Cluster, server: TigerBeetleServer, folder: Path) -> None:
    file, copied = folder / "0_0.tigerbeetle", folder / "copy"
    cluster.produce("pay", charges(0, 60))
    cluster.drain("g")
    server.kill()
    copy(file, copied)
    server.start()
    cluster.ledger_addresses = server.address
    cluster.produce("pay", charges(60, 40))
    cluster.drain("g")
    before = books(server)
    server.kill()
    copy(copied, file)
    server.start()
    cluster.ledger_addresses = server.address
    assert len(books(server)[1]) == 60
    look, post, compare = commands(f"{RUNBOOKS}/backups.md", "Restore")
    assert "40 would be posted" in cluster.command("g", *look)
    assert "40 posted, 60 redelivered" in cluster.command("g", *post)
    assert books(server) == before
    process = cluster.start("g", *compare, "--json")
    told = json.loads(process.communicate(timeout=RUN_SECONDS_MAX)[0])
    assert process.returncode == 1
    # The feed of settlements is not part of this test, so every charge is told by one side.
    classes = {"duplicate": 40, "told_by_payments_only": 100}
    assert told["summary"]["differences_by_class"] == classes


def books(server: TigerBeetleServer) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Balances and transfers by id, without the time of posting and the position."""
    accounts, transfers = read_ledger(server.address)
    balances = [(one.id, one.debits_posted, one.credits_posted) for one in accounts]
    money = [
        (one.id, one.debit_account_id, one.credit_account_id, one.amount, one.code, one.ledger)
        for one in transfers
    ]
    return sorted(balances), sorted(money)


def test_a_new_users_first_hour(
    kafka: KafkaBroker, ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's quickstart, then the runbook of dead letters and rejections, command by command.

    Generated traffic has each of these events, and `generate` writes the report of Stripe's that
    the reconciliation compares. It alone ends with 1: its dead letters need a person.
    """
    cluster = Cluster(kafka.bootstrap_servers, ledger)
    monkeypatch.chdir(tmp_path)
    cluster.settle_in(monkeypatch, "g")
    shutil.copy(ROOT / "tests" / "stripe" / "charge.succeeded.json", tmp_path / "event.json")
    shutil.copy(PACKAGED, tmp_path / "my-rulebook.yaml")
    for document, language, name in QUICKSTART_FILES:
        page = (ROOT / "docs" / document).read_text()
        (tmp_path / name).write_text(page.split(f"```{language}\n")[1].split("```")[0])
    strange = {"id": "evt_x", "type": "new.thing", "created": CREATED, "data": THING}
    for command in commands("README.md", "Quickstart"):
        if command[0] == "generate":  # after `doctor`, which would say that it will be dead
            cluster.produce("pay", [strange])
        if command[0] not in {"topics", "schemas"}:  # tests/integration/test_topics.py has them
            own = [word.replace("stripe.payments", cluster.topic("pay")) for word in command]
            expected = 1 if command[0] == "reconcile" else 0
            assert main(own) == expected, own
    assert (tmp_path / "out.html").stat().st_size > 1000
    assert list((tmp_path / "books").iterdir())
    refused = json.loads(cluster.read("rejected")[0].value() or b"")["event_id"]
    for heading in ("Dead letters", "Rejections"):
        for command in commands(f"{RUNBOOKS}/events.md", heading):
            filled = [word.replace("EVENT", refused) for word in command]
            assert main(filled) == 0, filled
    drained = cluster.drain("g")
    assert drained["dead"] == 1
    assert drained["rejected"] + drained["posted"] == 1


TOOLS = {
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-transactions.sh": "org.apache.kafka.tools.TransactionsCommand",
}
"""What Kafka's scripts start."""


def test_kafkas_own_tools_understand_the_runbooks(kafka: KafkaBroker, ledger: str) -> None:
    """Kafka's tools show a group's members and no hanging transaction, and find none to abort."""
    if not JARS.is_dir():
        pytest.skip("Kafka's tools come with its jars: install Java 17 or newer and Maven")
    cluster = Cluster(kafka.bootstrap_servers, ledger)
    cluster.produce("pay", charges(0, 10))
    cluster.drain("g")
    lines = "\n".join(path.read_text() for path in (ROOT / RUNBOOKS).glob("*.md"))
    found = re.findall(r"^ {4}(kafka-[a-z-]+\.sh) (.+)$", lines, re.MULTILINE)
    assert {script for script, _ in found} == set(TOOLS)
    told = {options: kafka_tool(cluster, script, options) for script, options in found}
    for options, done in told.items():
        if "abort" in options:
            assert "Could not find any open transactions starting at offset 42" in done.stderr
        else:
            assert done.returncode == 0, done.stderr
    group = next(done.stdout for options, done in told.items() if "--describe" in options)
    assert cluster.topic("pay") in group


def kafka_tool(cluster: Cluster, script: str, options: str) -> subprocess.CompletedProcess[str]:
    """Run what a script of Kafka's runs, against the test's broker, group and topic."""
    here = {
        "kafka:9092": cluster.bootstrap_servers,
        "ledger-worker": f"{cluster.prefix}-g",
        "ledger.transfers.posted": cluster.topic("posted"),
    }
    return subprocess.run(
        [
            "java",
            "-cp",
            f"{JARS}/*",
            TOOLS[script],
            *(here.get(one, one) for one in options.split()),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
    )


def copy(source: Path, target: Path) -> None:
    """A data file is mostly holes."""
    subprocess.run(["cp", "--sparse=always", str(source), str(target)], check=True)
