"""What is set wrong, or refuses the worker, ends it with one sentence and exit code 2 or 3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.integration.cluster import Cluster
from tests.servers.kafka import USERS, KafkaBroker
from worker.config.settings import PREFIX

END_SECONDS_MAX = 300
NOBODY_THERE = "127.0.0.1:9"
"""The discard port: nothing listens there."""

READ, WRITE = AclOperation.READ, AclOperation.WRITE
TRANSACTION = ResourceType.TRANSACTIONAL_ID
Acl = tuple[ResourceType, str, AclOperation]


def ends(environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit code of `run` under these variables, and its last sentence; no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", "run"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=END_SECONDS_MAX,
    )
    assert "Traceback" not in done.stderr
    logged = ("{", "%")  # the worker's lines, and the Kafka client's own
    sentences = [line for line in done.stderr.splitlines() if not line.startswith(logged)]
    assert len(sentences) == 1, done.stderr
    return done.returncode, sentences[0]


# Without servers


def own(**changes: str) -> dict[str, str]:
    """The variables of a worker with the embedded broker and ledger, and these changes."""
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": "embedded",
        "LEDGER__ADDRESSES": "embedded",
        "LEDGER__DEADLINE_SECONDS": "1",
        "HTTP__HOST": "127.0.0.1",
        "HTTP__PORT": "0",
        **changes,
    }
    return {**os.environ, **{PREFIX + name: text for name, text in settings.items()}}


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"KAFKA__BOOTSTRAP_SERVERS": NOBODY_THERE, "LEDGER__ADDRESSES": NOBODY_THERE},
         3, "kafka: Kafka could not be reached"),
        ({"LEDGER__ADDRESSES": NOBODY_THERE},
         3, f"the ledger at {NOBODY_THERE} did not answer within 1 s"),
        ({"KAFKA__CLIENT": '{"sasl.pasword": "s3cret"}'},
         2, "kafka.client: librdkafka knows no setting sasl.pasword"),
    ],
    ids=["broker", "ledger", "unknown client setting"],
)  # fmt: skip
def test_nobody_there(changes: dict[str, str], code: int, says: str) -> None:
    """A broker or a ledger that cannot be reached, and a client setting that does not exist."""
    found, said = ends(own(**changes))
    assert (found, says in said, "s3cret" in said) == (code, True, False), said


@pytest.mark.tigerbeetle
def test_another_cluster(tigerbeetle_address: str) -> None:
    """A wrong cluster id looks like an outage, and the sentence says so."""
    found, said = ends(own(LEDGER__ADDRESSES=tigerbeetle_address, LEDGER__CLUSTER_ID="7"))
    assert (found, "a wrong cluster id (7 is set) looks the same" in said) == (3, True), said


# With a broker


@pytest.fixture
def cluster(kafka: KafkaBroker, tmp_path: Path) -> Cluster:
    """One event that waits, for a worker with a ledger of its own."""
    made = Cluster(kafka.bootstrap_servers, f"embedded:{tmp_path / 'books'}", partitions=1)
    made.extra["LEDGER_WORKER_LEDGER__DEADLINE_SECONDS"] = "20"
    made.produce("cmd", [{"id": "evt_1", "type": "wallet.unheard_of"}])
    return made


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TOPICS__OUTBOX", "no.outbox"),
        ("TOPICS__INPUTS", '["no.input"]'),
    ],
)
def test_a_missing_topic(variable: str, text: str, cluster: Cluster) -> None:
    """A topic that is read or written is missing: it is named, with what to do."""
    cluster.extra[PREFIX + variable] = text
    found, said = ends(cluster.environment("a"))
    name = text.strip('[]"')
    assert said.startswith(f"ledger-worker: topic {name}: does not exist"), said
    assert found == 3


def known_as(user: str, password: str, kafka: KafkaBroker, cluster: Cluster) -> dict[str, str]:
    """The cluster's variables for a worker that gives this name and password."""
    client = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password,
    }
    return cluster.environment("a") | {
        "LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS": kafka.sasl_servers,
        "LEDGER_WORKER_KAFKA__CLIENT": json.dumps(client),
        "LEDGER_WORKER_KAFKA__TRANSACTIONAL_ID": f"{cluster.prefix}-t",
    }


@pytest.mark.kafka
def test_wrong_credentials(kafka: KafkaBroker, cluster: Cluster) -> None:
    """A password that is not right is called that, and not shown."""
    found, said = ends(known_as("granted", "not-right", kafka, cluster))
    assert "Kafka refused the credentials" in said, said
    assert "not-right" not in said
    assert found == 3


@pytest.mark.kafka
def test_grant_by_grant(kafka: KafkaBroker, cluster: Cluster) -> None:
    """Each grant that is missing is told by what it is for; with the last one the worker drains."""
    environment = known_as("granted", USERS["granted"], kafka, cluster)
    topics = [(ResourceType.TOPIC, cluster.prefix, one) for one in (READ, WRITE)]
    steps: list[tuple[str, list[Acl]]] = [
        ("does not exist, or may not be seen", [topics[0]]),
        ("Transactional Id authorization failed", [(TRANSACTION, cluster.prefix, WRITE)]),
        ("Group authorization failed", [(ResourceType.GROUP, cluster.prefix, READ)]),
        ("Topic authorization failed", [topics[1]]),
    ]
    for says, then in steps:
        found, said = ends(environment)
        assert (found, says in said) == (3, True), said
        grant(kafka, then)
    done = cluster.start("a", "run", "--drain", "--json", **environment)
    out, _ = done.communicate(timeout=END_SECONDS_MAX)
    assert json.loads(out)["outcomes"] == {"dead": 1}


def grant(kafka: KafkaBroker, acls: list[Acl]) -> None:
    """Let the user `granted` do this with every name that begins so."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    bindings = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.PREFIXED,
            "User:granted",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for kind, name, operation in acls
    ]
    for made in admin.create_acls(bindings).values():
        made.result(timeout=60)
