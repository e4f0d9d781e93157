"""Two brokers: what one coordinated or led goes to the other, or is led by nobody for a while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.campaign import run
from tests.chaos.plan import Fault, Plan
from tests.chaos.servers import servers
from tests.chaos.test_chaos import EVENTS
from tests.servers.kafka import Unavailable
from tests.servers.kafka_pair import KafkaPair, kafka_pair

MOVES = Plan(
    seed=8,
    events=EVENTS,
    workers=2,
    faults=(
        Fault("coordinator_moved", at=0.2),
        Fault("reader_restart", at=0.4),
        Fault("coordinator_killed", at=0.6, seconds=1),
    ),
)

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaPair]:
    """Two brokers for these tests."""
    try:
        with kafka_pair(tmp_path_factory.mktemp("pair")) as both:
            yield both
    except Unavailable as missing:
        pytest.skip(str(missing))


def test_coordinators_that_move(pair: KafkaPair, tmp_path: Path) -> None:
    """Moved, killed, a reader restarted: every promise holds, and no worker leaves the group."""
    with servers(pair, tmp_path) as with_:
        found = run(MOVES, with_)
    assert found["struck"] == [fault.kind for fault in MOVES.faults]
