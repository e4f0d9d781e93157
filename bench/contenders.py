"""The contenders, each run in a process of its own on real servers.

The invariant: every run has a group, topics, accounts and legs of its own, so that it posts anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.traffic import Encoding, fill
from tests.servers.kafka import create_topics
from worker.codecs.avro import PACKAGED_IDS

ROOT = Path(__file__).parents[1]
RUN_SECONDS_MAX = 1800

Figures = dict[str, Any]


@dataclass(slots=True)
class Bench:
    """The servers, and what is in their topics.

    events: of the common topic. partitions: of every topic.
    """

    kafka: str
    ledger: str
    work: Path
    events: int
    seed: int
    partitions: int = 4
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:6])
    filled: dict[str, str] = field(default_factory=dict)

    def topic(self, encoding: Encoding = "avro", *, events: int = 0, customers: int = 1000) -> str:
        """A topic with so many charges, filled once."""
        events = events or self.events
        topic = f"bench-{self.name}-{encoding}-{events}-{customers}"
        if topic not in self.filled:
            create_topics(self.kafka, {topic: self.partitions})
            self.filled[topic] = topic
            fill(
                self.kafka,
                topic,
                events=events,
                seed=self.seed,
                customers=customers,
                encoding=encoding,
            )
        return topic

    def fresh(self, kind: str) -> str:
        """A name that no run had before; with output topics of its own."""
        name = f"{kind}_{self.name}_{uuid.uuid4().hex[:4]}"
        outputs = [f"{name}.out", f"{name}.rejected", f"{name}.dead"]
        create_topics(self.kafka, dict.fromkeys(outputs, self.partitions))
        return name

    def plain(self, module: str, *before: str, events: int = 0) -> Figures:
        """A contender that needs no settings."""
        topic, name = self.topic(), self.fresh(module)
        arguments = [self.kafka, self.ledger, topic, f"{name}.out", name]
        return contend([f"bench.{module}", *before, *arguments, str(events or self.events)])

    def limit(self, *, events: int = 0, first: int = 0) -> Figures:
        """The ledger alone; first: the number of the first event, which gives it its time."""
        name = f"limit_{self.name}_{uuid.uuid4().hex[:4]}"
        return contend(["bench.limit", self.ledger, name, str(events or self.events), str(first)])

    def worker(
        self,
        *,
        topic: str,
        outbox: str = "avro",
        rules: int = 1,
        name: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> Figures:
        """The worker."""
        name = name or self.fresh("worker")
        environment = self.settings(name, topic=topic, outbox=outbox, rules=rules)
        return contend(["bench.drain"], {**environment, **(settings or {})})

    def settings(self, name: str, *, topic: str, outbox: str, rules: int = 1) -> dict[str, str]:
        """The worker's environment. name: its group, outputs, accounts and legs."""
        return {
            "LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "LEDGER_WORKER_KAFKA__GROUP_ID": name,
            "LEDGER_WORKER_LEDGER__ADDRESSES": self.ledger,
            "LEDGER_WORKER_LEDGER__DEADLINE_SECONDS": "120",
            "LEDGER_WORKER_RULEBOOK": str(self.rulebook(name, rules=rules)),
            "LEDGER_WORKER_TOPICS__INPUTS": json.dumps({"payments": topic}),
            "LEDGER_WORKER_TOPICS__OUTBOX": f"{name}.out",
            "LEDGER_WORKER_TOPICS__REJECTED": f"{name}.rejected",
            "LEDGER_WORKER_TOPICS__DEAD": f"{name}.dead",
            "LEDGER_WORKER_TOPICS__PARKED_DELAYS_SECONDS": "[]",
            "LEDGER_WORKER_OUTBOX__FORMAT": outbox,
            "LEDGER_WORKER_HTTP__PORT": "0",
            "LEDGER_WORKER_SCHEMA_REGISTRY__IDS": json.dumps(dict(PACKAGED_IDS)),
        }

    def rulebook(self, name: str, *, rules: int = 1) -> Path:
        """The rules with accounts and legs of this name; with others that never match before."""
        path = self.work / f"rules-{name}.yaml"
        path.write_text(rules_text(name, rules=rules))
        return path


def rules_text(name: str, *, rules: int) -> str:
    """The benchmark's rules under names of their own, after so many more that never match."""
    text = (ROOT / "bench" / "rules.yaml").read_text()
    for word in ("bench_clearing", "bench_wallet", "bench_purse", "      gross", "      held"):
        text = text.replace(word, f"{word}_{name}")
    head, transactions = text.split("transactions:\n")
    rule, _ = transactions.split("  overdraft:\n")
    others = [
        rule.replace("  charge:", f"  other_{number}:").replace(
            "on: charge.succeeded", f"on: other.type_{number}"
        )
        for number in range(rules - 1)
    ]
    return f"{head}transactions:\n{''.join(others)}{transactions}"


def contend(module: list[str], environment: Mapping[str, str] | None = None) -> Figures:
    """Run one contender to its end, and give its figures."""
    return finished(started(module, environment))


def started(
    module: list[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """A contender that is running."""
    return subprocess.Popen(
        [sys.executable, "-m", *module],
        env={**os.environ, **(environment or {})},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> Figures:
    """What it printed, per event; it is killed when it takes too long."""
    try:
        said, _ = process.communicate(timeout=RUN_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        raise SystemExit(f"a contender took more than {RUN_SECONDS_MAX} s") from None
    if process.returncode:
        raise SystemExit(f"a contender ended with {process.returncode}")
    figures: Figures = json.loads(said.splitlines()[-1])
    events = figures["events"] or 1
    told = {
        "events": events,
        "events_per_second": events / (figures["seconds"] or 1.0),
        "cpu_us_per_event": figures["cpu"] / events * 1e6,
        "peak_mib": figures["peak_mib"],
    }
    if "stages" in figures:
        stages = figures["stages"].items()
        told["events_per_batch"] = figures["batch"]
        told["stages_us"] = {stage: seconds / events * 1e6 for stage, seconds in stages}
    return told
