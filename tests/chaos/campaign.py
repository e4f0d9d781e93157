"""One run of a plan: real processes, real servers, faults, and at the end the auditor's verdict.

The invariant: every wait has a limit, every process that was started is ended by its own id, and a
worker that ends with anything but what its fault explains fails the run.
"""

from __future__ import annotations

import json
import signal
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from tests.chaos import points
from tests.chaos.auditor import announced, check, read_all
from tests.chaos.membership import Membership
from tests.chaos.plan import KAFKA, LEDGER, OUTSIDE, READER, ChaosPlan, Fault
from tests.chaos.reader import OutboxReader, reading
from tests.chaos.servers import HEALS, ON_SERVERS, Servers
from tests.chaos.workload import fill
from tests.integration.cluster import Cluster, Process, ends, read_ledger

LOOK_SECONDS = 0.25
RUN_SECONDS_MAX = 3600
END_SECONDS_MAX = 600
GROUP = "a"
INPUTS = ("pay", "settle", "cmd", "treasury")
SETTINGS = {
    "LEDGER_WORKER_KAFKA__CLIENT": json.dumps(
        {"session.timeout.ms": 10_000, "transaction.timeout.ms": 20_000}
    ),
    "LEDGER_WORKER_TOPICS__PARKED_DELAYS_SECONDS": "[5, 3600]",
    "LEDGER_WORKER_BATCH__EVENTS_MAX": "25",
}
OTHER_BATCHES = ("7", "25", "200")
STRANGE = {
    "LEDGER_WORKER_LEDGER__CLUSTER_ID": "65",
    "LEDGER_WORKER_LEDGER__DEADLINE_SECONDS": "5",
}
REFUSED = 3
SIGNALS = {
    "kill": signal.SIGKILL,
    "other_batches": signal.SIGKILL,
    "terminate": signal.SIGTERM,
    "freeze": signal.SIGSTOP,
}


@dataclass(slots=True)
class WorkerProcess:
    """A process of the group. hit: what its failure point does, and for how many seconds.

    wakes_at: when it is woken; 0 while it runs. may_be_killed: a fault from outside does it.
    """

    process: Process
    hit: Fault | None
    wakes_at: float = 0.0
    may_be_killed: bool = False

    def stopped(self) -> bool:
        """Has it been stopped, by itself or from outside?"""
        stat = Path(f"/proc/{self.process.pid}/stat")
        try:
            return stat.read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False


@dataclass(slots=True)
class Run:
    """One plan under way. membership: where no fault touches a worker, since the first one."""

    plan: ChaosPlan
    servers: Servers
    cluster: Cluster
    reader: OutboxReader
    workers: list[WorkerProcess] = field(default_factory=list)
    hits: deque[Fault] = field(default_factory=deque)
    waiting: list[Fault] = field(default_factory=list)
    heals: list[tuple[float, str]] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    strangers: list[Process] = field(default_factory=list)
    membership: Membership | None = None

    @property
    def group(self) -> str:
        """The workers' group, as Kafka knows it."""
        return self.cluster.environment(GROUP)["LEDGER_WORKER_KAFKA__GROUP_ID"]

    # Workers

    def start_worker(self) -> None:
        """One more process; it takes the next failure point with it."""
        hit = self.hits.popleft() if self.hits else None
        more = {points.VARIABLE: hit.kind} if hit else {}
        self.workers.append(WorkerProcess(self.cluster.start(GROUP, "run", **more), hit))

    def tend(self) -> None:
        """Wake who slept long enough, and start another for each that its fault has ended."""
        now = time.monotonic()
        for worker in list(self.workers):
            if worker.process.poll() is not None:
                self._ended(worker)
            elif worker.wakes_at and now >= worker.wakes_at:
                worker.process.send_signal(signal.SIGCONT)
                worker.wakes_at = 0.0
            elif not worker.wakes_at and worker.hit and worker.stopped():
                self.struck.append(worker.hit.kind)
                worker.wakes_at = now + worker.hit.seconds
                worker.hit = None

    def _ended(self, worker: WorkerProcess) -> None:
        self.workers.remove(worker)
        code = worker.process.returncode
        _, said = worker.process.communicate()
        self._hear(worker, said)
        if code == -signal.SIGKILL and worker.hit is not None and not worker.may_be_killed:
            self.struck.append(worker.hit.kind)
        else:
            explained = code in {0, -signal.SIGTERM} or (
                code == -signal.SIGKILL and worker.may_be_killed
            )
            assert explained, f"a worker ended with {code}: {tail(said)}"
            assert self.membership is None, f"a worker ended in an outage: {tail(said)}"
            if worker.hit is not None:  # another fault was quicker: its successor takes the hit
                self.hits.append(worker.hit)
        self.start_worker()

    def _somebody_ended(self) -> bool:
        return any(worker.process.poll() is not None for worker in self.workers)

    def _hear(self, worker: WorkerProcess, said: bytes) -> None:
        """Whoever survives its hit says that it was hit."""
        if worker.hit is not None and points.STRUCK in said:
            self.struck.append(worker.hit.kind)
            worker.hit = None

    # Faults from outside

    def strike(self, fault: Fault) -> None:
        """Do it now; what has an end is put on the list of heals."""
        if self.membership is None and self.plan.strikes(*LEDGER, *KAFKA, READER):
            self.membership = Membership(
                self.cluster.bootstrap_servers,
                self.group,
                processes=len(self.workers),
                keep_ids=self.plan.strikes(*LEDGER, READER),
            )
        if fault.kind in ON_SERVERS:
            ON_SERVERS[fault.kind](self.servers, self.group)
        elif fault.kind == READER:
            self.reader.restart()
        elif fault.kind == "add_worker":
            self.start_worker()
        elif fault.kind == "wrong_cluster":
            self.strangers.append(self.cluster.start(GROUP, "run", **STRANGE))
        else:
            victim = next((one for one in self.workers if not one.wakes_at), self.workers[0])
            if fault.kind == "other_batches":
                size = OTHER_BATCHES[(self.plan.seed + len(self.struck)) % len(OTHER_BATCHES)]
                self.cluster.extra["LEDGER_WORKER_BATCH__EVENTS_MAX"] = size
            elif fault.kind == "freeze":
                victim.wakes_at = time.monotonic() + fault.seconds
            victim.may_be_killed |= SIGNALS[fault.kind] is signal.SIGKILL
            victim.process.send_signal(SIGNALS[fault.kind])
            if SIGNALS[fault.kind] is signal.SIGKILL:
                victim.process.wait(END_SECONDS_MAX)
        self.struck.append(fault.kind)
        if fault.kind in HEALS:
            self.heals.append((time.monotonic() + fault.seconds, fault.kind))

    def heal(self, *, everything: bool = False) -> None:
        """End the faults whose time has come."""
        now = time.monotonic()
        for due, kind in list(self.heals):
            if everything or now >= due:
                self.heals.remove((due, kind))
                if self.membership and kind in LEDGER and not everything:
                    self.membership.holds()
                HEALS[kind](self.servers)

    # The run

    def go(self) -> None:
        """Until every event has its outcome and every fault from outside has struck."""
        for _ in range(self.plan.workers):
            self.start_worker()
        deadline = time.monotonic() + RUN_SECONDS_MAX
        progress = GroupProgress(self.cluster)
        done = 0.0
        while done < 1.0 or self.waiting or self.heals or self._somebody_ended():
            assert time.monotonic() < deadline, f"only {done:.0%} of the events came to an outcome"
            done = progress.done()
            for fault in [one for one in self.waiting if one.at <= done]:
                self.waiting.remove(fault)
                self.strike(fault)
            self.heal()
            self.tend()
            time.sleep(LOOK_SECONDS)
        progress.close()
        if self.membership:
            self.membership.holds()

    def end(self) -> None:
        """Every worker ends as it does in a rolling update: with 0, or before it began."""
        for worker in self.workers:
            worker.process.send_signal(signal.SIGCONT)
            worker.process.terminate()
        for worker in self.workers:
            _, said = worker.process.communicate(timeout=END_SECONDS_MAX)
            self._hear(worker, said)
            code = worker.process.returncode
            assert code in {0, -signal.SIGTERM}, f"a worker ended with {code}: {tail(said)}"
        self.workers.clear()
        for stranger in self.strangers:
            _, said = stranger.communicate(timeout=END_SECONDS_MAX)
            code = stranger.returncode
            assert code == REFUSED, f"a worker of another cluster ended with {code}: {tail(said)}"
        self.strangers.clear()

    def abandon(self) -> None:
        """Nothing that was started outlives a run that failed."""
        self.heal(everything=True)
        for process in [*(worker.process for worker in self.workers), *self.strangers]:
            process.kill()
            process.communicate()


class GroupProgress:
    """How far the group has come: the share of the input records below its committed offsets."""

    def __init__(self, cluster: Cluster) -> None:
        servers_ = cluster.bootstrap_servers
        self._ends = {
            (cluster.topic(name), number): end
            for name in INPUTS
            for number, end in ends(servers_, cluster.topic(name)).items()
        }
        group = cluster.environment(GROUP)["LEDGER_WORKER_KAFKA__GROUP_ID"]
        self._consumer = ClientConsumer({"bootstrap.servers": servers_, "group.id": group})
        self._last = 0.0

    def done(self) -> float:
        """0.0 to 1.0; the last answer again while the broker gives none."""
        places = [ClientPartition(*place) for place in self._ends]
        try:
            found = self._consumer.committed(places, timeout=5)
        except KafkaException:  # the broker is down: that is what is tried here
            return self._last
        done = sum(max(one.offset, 0) for one in found)
        self._last = done / max(1, sum(self._ends.values()))
        return self._last

    def close(self) -> None:
        """Disconnect; it never joined the group."""
        self._consumer.close()


def run(plan: ChaosPlan, with_: Servers) -> dict[str, object]:
    """Carry a plan out. Raises AssertionError with what is wrong."""
    started = time.monotonic()
    cluster = Cluster(
        with_.broker.bootstrap_servers,
        with_.proxy.address,
        extra=SETTINGS | with_.environment,
        module="tests.chaos.worker",
    )
    work = fill(cluster, plan.events, plan.seed)
    with reading(cluster) as reader:
        struck = under_way(plan, with_, cluster, reader)
        cluster.drain(GROUP)
        address = with_.ledger_name  # another one since the ledger was restarted
        before = state(cluster, address)
        for kind in plan.after:
            again(cluster, kind)
            assert state(cluster, address) == before, f"{kind} changed balances or announcements"
            struck.append(kind)
        counted = check(cluster, address, work.expected, replayed=bool(plan.after))
        read_all(announced(cluster), reader.finish(counted["announced"]))
    seconds = round(time.monotonic() - started)
    return {"struck": struck, "seconds": seconds, **counted}


def under_way(plan: ChaosPlan, with_: Servers, cluster: Cluster, reader: OutboxReader) -> list[str]:
    """The workers from their start to their end, and the faults; those that struck."""
    one = Run(
        plan,
        with_,
        cluster,
        reader,
        hits=deque(one for one in plan.faults if one.kind not in OUTSIDE),
        waiting=[one for one in plan.faults if one.kind in OUTSIDE],
    )
    with ExitStack() as stack:
        stack.callback(one.abandon)
        one.go()
        one.end()
    return one.struck


def again(cluster: Cluster, kind: str) -> None:
    """Everything once more: by another group, or by the same one from offset 0."""
    if kind == "new_group":
        cluster.drain("b")
        return
    group = cluster.environment(GROUP)["LEDGER_WORKER_KAFKA__GROUP_ID"]
    starts = [
        ClientPartition(cluster.topic(name), number, 0)
        for name in INPUTS
        for number in range(cluster.partitions)
    ]
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    asked = [ConsumerGroupTopicPartitions(group, starts)]
    for answer in admin.alter_consumer_group_offsets(asked).values():
        answer.result(timeout=60)
    cluster.drain(GROUP)


def state(cluster: Cluster, address: str) -> tuple[object, int]:
    """Every account and transfer, and how many announcements there are."""
    return read_ledger(address), len(cluster.posted())


def tail(said: bytes) -> str:
    """The end of what a process said."""
    return said.decode(errors="replace")[-2000:]
