"""TigerBeetle's own metrics: a real server sends what the dashboard shows."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest

from tests.deploy.test_observability import TIGERBEETLE
from tests.servers.tigerbeetle import LEAN, TigerBeetleUnavailable, tigerbeetle
from worker.ledger.open import open_ledger

SENT_SECONDS_MAX = 60


@pytest.mark.tigerbeetle
def test_a_server_sends_what_the_dashboard_shows(tmp_path: Path) -> None:
    """Each metric in a panel arrives by StatsD, with the labels that the panel groups by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(1)
        to = f"--statsd=127.0.0.1:{statsd.getsockname()[1]}"
        try:
            with tigerbeetle(data_dir=tmp_path, memory=(*LEAN, to)) as server:
                if server.process is None:
                    pytest.skip("a server in a container cannot send here: put it on PATH")
                ledger = open_ledger(addresses=server.address, cluster_id=0, deadline_seconds=60)
                ledger.lookup_accounts([1])
                ledger.close()
                sent = received(statsd)
        except TigerBeetleUnavailable as missing:
            pytest.skip(str(missing))
    assert set(TIGERBEETLE) <= set(sent)
    for name, labels in TIGERBEETLE.items():
        assert labels <= sent[name], name


def received(statsd: socket.socket) -> dict[str, set[str]]:
    """Metrics as the exporter names them, and their labels, until all that are wanted have come."""
    found: dict[str, set[str]] = {}
    deadline = time.monotonic() + SENT_SECONDS_MAX
    while not set(TIGERBEETLE) <= set(found) and time.monotonic() < deadline:
        try:
            lines = statsd.recv(65_536).decode().splitlines()
        except TimeoutError:
            continue
        for line in lines:
            name, _, tags = line.partition("|#")
            metric = re.sub(r"[^a-z0-9_]", "_", name.partition(":")[0])
            found[metric] = {tag.partition(":")[0] for tag in tags.split(",")}
    return found
