"""Two real Kafka brokers in one cluster, so that what one coordinates can move to the other.

Node 1 is broker and controller, node 2 a broker only: when it is killed, node 1 takes over. The
invariant: every partition has a replica on both, and can be written when one of them is left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from confluent_kafka import ElectionType, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from tests.servers.groups import ASK_SECONDS, group_now
from tests.servers.kafka import JavaBroker, kafka_jars

T = TypeVar("T")
FIRST: Final = 1
SECOND: Final = 2
COORDINATING: Final = ("__consumer_offsets", "__transaction_state")
"""Who leads a partition of these coordinates its groups, and its transactional ids."""

SETTINGS: Final = {
    "default.replication.factor": "2",
    "offsets.topic.replication.factor": "2",
    "transaction.state.log.replication.factor": "2",
    "share.coordinator.state.topic.replication.factor": "2",
    # Leaders move when they are told to, or when their broker was silent for so long.
    "auto.leader.rebalance.enable": "false",
    "broker.session.timeout.ms": "10000",
}
REASSIGN: Final = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
LOOK_SECONDS: Final = 0.2
CHANGE_SECONDS_MAX: Final = 300
TAKE_OVER_SECONDS_MAX: Final = 60
TRIES_MAX: Final = 3


class Unchanged(AssertionError):
    """The brokers are not as they were told to be."""


@contextmanager
def kafka_pair(work_dir: Path) -> Iterator[KafkaPair]:
    """Two new, empty brokers with their files under `work_dir`. Raises `Unavailable`."""
    jars = kafka_jars(otherwise="; Docker gives one, and two are needed")
    pair = KafkaPair(jars, work_dir)
    try:
        pair.start()
        yield pair
    finally:
        pair.remove()


class KafkaPair:
    """A `KafkaBroker` of two nodes: `stop` and `kill` end both, as an outage of all of Kafka."""

    def __init__(self, jars: Path, work_dir: Path) -> None:
        first = JavaBroker(jars, work_dir, more=SETTINGS)
        self._nodes = (first, JavaBroker(jars, work_dir, joins=first, more=SETTINGS))
        self._plan = work_dir / "reassign.json"
        self.bootstrap_servers = ",".join(node.bootstrap_servers for node in self._nodes)
        self.sasl_servers = ",".join(node.sasl_servers for node in self._nodes)

    def start(self) -> None:
        """Start whichever does not run, and wait until both are in the cluster."""
        for node in self._nodes:
            if not node.running:
                node.start()
        admin = self._admin()
        _until(lambda: len(admin.list_topics(timeout=ASK_SECONDS).brokers) == len(self._nodes))

    def stop(self) -> None:
        """End both, the controller last."""
        for node in reversed(self._nodes):
            node.stop()

    def kill(self) -> None:
        """End both as a power cut would."""
        for node in self._nodes:
            node.kill()

    def remove(self) -> None:
        """End both for good, and delete their files."""
        for node in reversed(self._nodes):
            node.remove()

    def kill_second(self) -> None:
        """The broker that is no controller; `start` brings it back."""
        self._nodes[1].kill()

    def move_coordinators(self, group: str) -> None:
        """Every coordinator goes to the broker that is not this group's now; both run on."""
        self.start()
        now = _until(lambda: self._coordinator(group))
        self._lead(FIRST + SECOND - now, group)

    def kill_coordinator(self, group: str) -> None:
        """The broker that coordinates everything is killed, and the other takes over.

        The second one is killed, because the first one is the controller. `start` brings it back.
        Where the machine stalls for longer than a session just then, the first one is out as well,
        and only the killed one may lead: then it is done once more.
        """
        for _ in range(TRIES_MAX):
            self.start()
            self._lead(SECOND, group)
            self.kill_second()
            try:
                _until(lambda: self._leads(FIRST, group), TAKE_OVER_SECONDS_MAX)
            except Unchanged:
                continue
            return
        raise Unchanged(f"broker {FIRST} did not take over in {TRIES_MAX} tries")

    def _lead(self, node: int, group: str) -> None:
        """Move every coordinator there: the preferred replica first, then its election."""
        admin = self._admin()
        topics = admin.list_topics(timeout=ASK_SECONDS).topics
        places = [(name, number) for name in COORDINATING for number in topics[name].partitions]
        replicas = [node, FIRST + SECOND - node]
        wanted = [{"topic": name, "partition": at, "replicas": replicas} for name, at in places]
        self._plan.write_text(json.dumps({"version": 1, "partitions": wanted}))
        self._nodes[0].tool(
            REASSIGN,
            *("--bootstrap-server", self.bootstrap_servers),
            *("--reassignment-json-file", str(self._plan), "--execute"),
        )
        elected = [ClientPartition(*place) for place in places]

        def moved() -> bool:
            # Again until it is: a replica that lags cannot be elected yet.
            admin.elect_leaders(ElectionType.PREFERRED, elected).result()
            return self._leads(node, group)

        _until(moved)

    def _leads(self, node: int, group: str) -> bool:
        """Is it the coordinator of this group, and the leader of every partition that makes one?"""
        topics = self._admin().list_topics(timeout=ASK_SECONDS).topics
        leaders = {one.leader for name in COORDINATING for one in topics[name].partitions.values()}
        return leaders == {node} and self._coordinator(group) == node

    def _coordinator(self, group: str) -> int:
        """The group's coordinator, as it says itself."""
        return int(group_now(self.bootstrap_servers, group).coordinator.id)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})


def _until(ask: Callable[[], T], seconds_max: float = CHANGE_SECONDS_MAX) -> T:
    """Ask until the answer is a yes, and give it; no broker's answer is none."""
    deadline = time.monotonic() + seconds_max
    while True:
        last: object = None
        try:
            last = answer = ask()
        except (KafkaException, TimeoutError) as trouble:
            last = trouble
        else:
            if answer:
                return answer
        if time.monotonic() > deadline:
            raise Unchanged(f"the brokers did not change in {seconds_max} s: {last}")
        time.sleep(LOOK_SECONDS)
