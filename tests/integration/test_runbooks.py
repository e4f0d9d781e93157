"""The runbooks' drills on real servers: commands are read from the runbooks and run as they are."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.test_docs import command_lines
from tests.integration.cluster import ROOT, RUN_SECONDS_MAX, Cluster, audit, read_ledger
from tests.servers.kafka import KafkaBroker
from tests.servers.tigerbeetle import Server, Unavailable, tigerbeetle

CREATED = 1_775_000_000
"""After the days that the runbooks' commands begin at."""

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]


def commands(runbook: str, heading: str) -> list[list[str]]:
    """The `ledger-worker` commands in a section's code, in order; each must be there to be run."""
    text = (ROOT / "docs" / "runbooks" / runbook).read_text()
    section = re.split(rf"^## {re.escape(heading)}$", text, flags=re.MULTILINE)[1].split("\n## ")[0]
    code = "\n".join(re.findall(r"^ {4}.+$", section, re.MULTILINE))
    found = command_lines(code)
    assert found, f"{runbook}: {heading} has no commands"
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
    look, compare = commands("recovery.md", "A worker crashed")
    assert "FAIL" not in cluster.command("g", *look)
    agreed = cluster.command("g", *compare)
    assert re.search(r"matched +200 ", agreed)
    assert "everything agrees" in agreed
    assert audit(cluster, ledger) == (200, 200)


def test_a_ledger_is_restored_from_a_copy(kafka: KafkaBroker, tmp_path: Path) -> None:
    """What came after the copy is posted again from the topics: same transfers, same balances.

    What differs is what the runbook says: those transfers are announced twice.
    """
    try:
        with tigerbeetle(development=True, data_dir=tmp_path) as server:
            restore(Cluster(kafka.bootstrap_servers, server.address), server, tmp_path)
    except Unavailable as missing:
        pytest.skip(str(missing))


def restore(cluster: Cluster, server: Server, folder: Path) -> None:
    file, copied = folder / "0_0.tigerbeetle", folder / "copy"
    cluster.produce("pay", charges(0, 60))
    cluster.drain("g")
    server.restart(lambda: copy(file, copied))
    cluster.ledger_addresses = server.address
    cluster.produce("pay", charges(60, 40))
    cluster.drain("g")
    before = books(server)
    server.restart(lambda: copy(copied, file))
    cluster.ledger_addresses = server.address
    assert len(books(server)[1]) == 60
    look, post, compare = commands("backups.md", "Restore")
    assert "40 would be posted" in cluster.command("g", *look)
    assert "40 posted, 60 redelivered" in cluster.command("g", *post)
    assert books(server) == before
    process = cluster.start("g", *compare, "--json")
    told = json.loads(process.communicate(timeout=RUN_SECONDS_MAX)[0])
    assert process.returncode == 1
    assert told["summary"]["differences_by_class"] == {"duplicate": 40}


def books(server: Server) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Balances and transfers by id, without the time of posting and the position."""
    accounts, transfers = read_ledger(server.address)
    balances = [(one.id, one.debits_posted, one.credits_posted) for one in accounts]
    money = [
        (one.id, one.debit_account_id, one.credit_account_id, one.amount, one.code, one.ledger)
        for one in transfers
    ]
    return sorted(balances), sorted(money)


def copy(source: Path, target: Path) -> None:
    """A data file is mostly holes."""
    subprocess.run(["cp", "--sparse=always", str(source), str(target)], check=True)
