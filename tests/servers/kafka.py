"""A real Kafka broker for tests: a container, else its jars from Maven Central, else why not.

The invariant: what is started here is ended by its own process id, also when the test process is
killed (where `setpriv` is there), and its files are deleted.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

VERSION = "4.1.1"
IMAGE = f"apache/kafka:{VERSION}"
JAVA_MIN = 17
HERE = Path(__file__).parent
JARS = HERE.parent.parent / ".cache" / "kafka" / VERSION
START_SECONDS = 600  # seconds where it is quiet; a throttled machine has taken 280
STOP_SECONDS = 300
DOCKER_INFO_SECONDS = 3
SEEN_SECONDS_MAX = 60
FETCH_SECONDS = 600
USERS = {"granted": "right-granted", "nobody": "right-nobody"}
"""Name and password of who may connect; what `granted` may do, its test says."""

LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


class KafkaUnavailable(Exception):
    """There is no broker to be had; the message is the one line that a skipped test shows."""


class KafkaBroker(Protocol):
    """A broker that is running; its data outlives `stop` and `kill`, its address never changes.

    sasl_servers: where it wants a name and a password, and grants count; see `USERS`.
    """

    bootstrap_servers: str
    sasl_servers: str

    def start(self) -> None:
        """Start it again, and wait until it answers."""
        ...

    def stop(self) -> None:
        """End it as an operator would."""
        ...

    def kill(self) -> None:
        """End it as a power cut would."""
        ...


@contextmanager
def kafka_broker(work_dir: Path) -> Iterator[KafkaBroker]:
    """A new, empty broker of Kafka 4.1 with its files under `work_dir`. Raises `Unavailable`."""
    broker = _ContainerBroker() if docker_answers() else JavaBroker(kafka_jars(), work_dir)
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


def create_topics(bootstrap_servers: str, partitions: Mapping[str, int]) -> None:
    """Make these topics and wait until they are there: the broker makes none by itself."""
    admin, kept = AdminClient({"bootstrap.servers": bootstrap_servers}), {"retention.ms": "-1"}
    wanted = [NewTopic(name, count, config=kept) for name, count in partitions.items()]
    for made in admin.create_topics(wanted, operation_timeout=30).values():
        made.result(timeout=30)
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while not _are_seen(admin, partitions):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the broker does not show {', '.join(partitions)}")
        time.sleep(0.05)


def _are_seen(admin: AdminClient, partitions: Mapping[str, int]) -> bool:
    """Does the broker show every partition with a leader? It hears of them after the controller."""
    shown = admin.list_topics(timeout=10).topics
    return all(
        name in shown
        and len(shown[name].partitions) == count
        and all(one.leader >= 0 for one in shown[name].partitions.values())
        for name, count in partitions.items()
    )


def docker_answers() -> bool:
    """Is there a Docker engine, and does it answer soon?"""
    try:
        found = subprocess.run(
            ["docker", "info"], capture_output=True, check=False, timeout=DOCKER_INFO_SECONDS
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0


def _properties(*, port: int, sasl_port: int, controller_port: int, log_dir: str) -> dict[str, str]:
    """One node that is broker and controller."""
    users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT"
        ),
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl_port}",
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
        ),
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        # Who gives no name is ANONYMOUS and may do all; the others need grants.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A machine that is busy for half a minute must not fence its only broker; after a kill the
        # next one is let in when that time is over.
        "broker.session.timeout.ms": "30000",
        "initial.broker.registration.timeout.ms": "300000",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
    }


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; all are held until the last is found."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _answers(bootstrap_servers: str) -> bool:
    """Can a client reach it? The port is tried first, because a client costs a start-up."""
    host, _, port = bootstrap_servers.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=1).brokers)
    except KafkaException:
        return False


# With Java and Maven


def kafka_jars(*, otherwise: str = ", or start Docker") -> Path:
    """The directory with Kafka's jars, fetched once. Raises `Unavailable`.

    otherwise: what it says of Docker where there is no Java.
    """
    if not shutil.which("mvn") or _java_version() < JAVA_MIN:
        raise KafkaUnavailable(
            f"no Kafka broker: install Java {JAVA_MIN} or newer and Maven{otherwise}"
        )
    if not JARS.is_dir():
        JARS.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=JARS.parent) as fetched:
            _fetch(Path(fetched) / "jars")
            (Path(fetched) / "jars").rename(JARS)
    return JARS


def _java_version() -> int:
    try:
        said = subprocess.run(["java", "-version"], capture_output=True, check=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return 0
    found = re.search(r'version "(\d+)', said.stderr)
    return int(found[1]) if found else 0


def _fetch(target: Path) -> None:
    command = ["mvn", "-q", "-B", "-f", str(HERE / "kafka-pom.xml")]
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    try:
        subprocess.run(
            [*command, *goal], check=True, capture_output=True, text=True, timeout=FETCH_SECONDS
        )
    except subprocess.CalledProcessError as error:
        last = (error.stdout or error.stderr).strip().splitlines()[:1]
        raise KafkaUnavailable(
            f"no Kafka broker: Maven could not fetch its jars: {last}"
        ) from error


class JavaBroker:
    """Kafka in a process of its own.

    joins: the node that is the controller of a second broker's cluster; without, it is its own.
    more: settings over the usual ones. behind: given the address of one more listener, makes the
    one that its clients are told, as of a wire in front of it.
    """

    def __init__(
        self,
        jars: Path,
        work_dir: Path,
        *,
        joins: JavaBroker | None = None,
        more: Mapping[str, str] | None = None,
        behind: Callable[[str], str] | None = None,
    ) -> None:
        self._behind = behind
        self._dir = Path(tempfile.mkdtemp(prefix="kafka-", dir=work_dir))
        self._cluster_id: str = joins._cluster_id if joins else _new_cluster_id()
        quiet = f"-Dlog4j2.configurationFile={self._dir / 'log4j2.properties'}"
        # The first compiler only: a broker that lives for minutes is faster without the second.
        brief = ["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self._java = ["java", *brief, quiet, "-cp", f"{jars}{os.sep}*"]
        self._process: subprocess.Popen[bytes] | None = None
        self.bootstrap_servers = self._configure(joins, more or {})

    def _configure(self, joins: JavaBroker | None, more: Mapping[str, str]) -> str:
        port, sasl_port, self._controller_port = free_ports(3)
        controller_port = joins._controller_port if joins else self._controller_port
        self.sasl_servers = f"127.0.0.1:{sasl_port}"
        settings = _properties(
            port=port,
            sasl_port=sasl_port,
            controller_port=controller_port,
            log_dir=str(self._dir / "logs"),
        )
        settings["listeners"] = settings["advertised.listeners"]
        if self._behind:
            (wire_port,) = free_ports(1)
            wired = f"127.0.0.1:{wire_port}"
            settings["listeners"] += f",WIRE://{wired}"
            settings["advertised.listeners"] += f",WIRE://{self._behind(wired)}"
            settings["listener.security.protocol.map"] += ",WIRE:PLAINTEXT"
        if joins:
            settings |= {"process.roles": "broker", "node.id": "2"}
        else:
            settings["listeners"] += f",CONTROLLER://127.0.0.1:{controller_port}"
        settings |= more
        lines = (f"{key}={value}\n" for key, value in settings.items())
        (self._dir / "server.properties").write_text("".join(lines))
        (self._dir / "log4j2.properties").write_text(LOG4J)
        return f"127.0.0.1:{port}"

    @property
    def running(self) -> bool:
        """Was it started, and not ended since?"""
        return self._process is not None

    def start(self) -> None:
        if not (self._dir / "logs").exists():
            self._format()
        dies_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self._dir / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*dies_with_us, *self._java, "kafka.Kafka", str(self._dir / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_ready(self._process)

    def tool(self, name: str, *options: str) -> None:
        """Run one of Kafka's own programs. Raises AssertionError with what it said if it fails."""
        done = subprocess.run(
            [*self._java, name, *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, f"{name} ended with {done.returncode}: {done.stdout[-2000:]}"

    def _format(self) -> None:
        config = str(self._dir / "server.properties")
        # "=" because an id may begin with "-".
        options = [f"--cluster-id={self._cluster_id}", f"--config={config}"]
        self.tool("kafka.tools.StorageTool", "format", *options)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.bootstrap_servers):
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self._dir / "kafka.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"Kafka did not start:\n{said}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def remove(self) -> None:
        """End it for good, and delete its files."""
        self.kill()
        shutil.rmtree(self._dir, ignore_errors=True)


def _new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


# With Docker


class _ContainerBroker:
    """Kafka in a container whose port is the same inside and outside, so that it stays."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - with Docker only

        port, sasl_port, controller_port = free_ports(3)
        settings = _properties(
            port=port,
            sasl_port=sasl_port,
            controller_port=controller_port,
            log_dir="/tmp/kafka-logs",  # noqa: S108
        )
        settings["listeners"] = (
            f"PLAINTEXT://:{port},SASL://:{sasl_port},CONTROLLER://127.0.0.1:{controller_port}"
        )
        self._container = DockerContainer(IMAGE).with_bind_ports(port, port)
        self._container.with_bind_ports(sasl_port, sasl_port)
        self.sasl_servers = f"127.0.0.1:{sasl_port}"
        for key, value in settings.items():
            self._container.with_env(f"KAFKA_{key.replace('.', '_').upper()}", value)
        self._made = False
        self.bootstrap_servers = f"127.0.0.1:{port}"

    def start(self) -> None:
        if self._made:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._made = True
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.bootstrap_servers):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Kafka did not start: {self._container.get_logs()}")
            time.sleep(0.2)

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=STOP_SECONDS)

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def remove(self) -> None:
        """End it for good, and delete its files."""
        if self._made:
            self._container.stop(force=True, delete_volume=True)
