"""`tail` on real servers: outcomes as they come, and a word at the end."""

from __future__ import annotations

import json
import signal

import pytest

from tests.integration.cluster import Cluster
from tests.integration.every_outcome import traffic
from tests.servers.kafka import KafkaBroker
from tests.servers.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]


def test_outcomes_are_followed(kafka: KafkaBroker, ledger: str) -> None:
    """What came since a time and what comes now; SIGINT says how many and how to go on."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    follower = cluster.start("g", "tail", "--outcome", "rejected", "--outcome", "dead", "--json")
    later = cluster.start("g", "tail", "--since", "2026-01-01", "--outcome", "posted")
    traffic(cluster)
    letters = cluster.read("rejected") + cluster.read("dead")
    assert len(letters) == 3
    out = follower.stdout
    assert out is not None
    seen = [json.loads(out.readline()) for _ in letters]
    assert {each["reason"] for each in seen} == {"exceeds_credits", "conflict", "no_rule"}
    assert next(each["event_id"] for each in seen if each["kind"] == "rejected") == "cmd_poor"
    assert later.stdout is not None
    posted = [later.stdout.readline().decode() for _ in range(4)]
    assert any("charge.gross: 10.01 usd, stripe_unsettled to" in line for line in posted)
    for process, says in ((follower, b"1 rejected, 2 dead since"), (later, b"4 posted since")):
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode == 0
        assert says in process.said()
        assert b"; go on with --since 2" in process.said()
    assert until(lambda: follower.poll() is not None)
