"""`make chaos`: faults on real servers, for minutes or for hours; the results go to a file.

Without --seeds it goes through every fault alone, then through mixes of them, and leaves out what
the results file has passed already. A run that fails is made smaller, and its plan is printed:
--plan runs that plan again. --summary prints what the results file holds, as a table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos.campaign import run
from tests.chaos.plan import ChaosPlan, alone, every_fault, mix, plan_from
from tests.chaos.results import read, summary
from tests.chaos.servers import servers
from tests.servers.kafka import KafkaBroker, KafkaUnavailable, kafka_broker
from tests.servers.kafka_pair import kafka_pair
from tests.servers.tigerbeetle import TigerBeetleUnavailable


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="begin no run after so long")
    parser.add_argument("--events", type=int, default=2000, help="records of each run's workload")
    parser.add_argument("--faults", type=int, default=6, help="faults of each mix")
    parser.add_argument("--seeds", type=seeds, help="only the mixes of these: 7, or 51-100")
    parser.add_argument("--plan", help="a plan that was printed, as JSON: this one only")
    parser.add_argument("--shrink", type=int, default=6, help="runs to make a failing plan smaller")
    parser.add_argument("--results", type=Path, default=Path("chaos-results.jsonl"))
    parser.add_argument("--summary", action="store_true", help="run nothing, sum the results up")
    given = parser.parse_args()
    if given.summary:
        print(summary(read(given.results)))
        return 0
    until = time.monotonic() + given.minutes * 60
    passed = _passed(given.results)
    try:
        with tempfile.TemporaryDirectory() as folder, _kafka(Path(folder)) as (broker, count):
            for name, plan in _plans(given):
                if time.monotonic() >= until:
                    break
                if name in passed:
                    continue
                if plan.brokers > count:
                    print(f"{name}: left out, it takes two Kafka brokers: Java and Maven")
                    continue
                wrong = _one(name, plan, broker, given.results)
                if wrong:
                    smallest = _shrunk(plan, broker, given.shrink)
                    print(f"FAILED {name}: {wrong}\nrun it again with --plan '{smallest.text()}'")
                    return 1
    except (KafkaUnavailable, TigerBeetleUnavailable) as missing:
        print(missing, file=sys.stderr)
        return 3
    return 0


@contextmanager
def _kafka(folder: Path) -> Iterator[tuple[KafkaBroker, int]]:
    """Two brokers, or one where only Docker is; and how many."""
    found: tuple[KafkaBroker, int]
    with ExitStack() as stack:
        try:
            found = stack.enter_context(kafka_pair(folder)), 2
        except KafkaUnavailable:
            found = stack.enter_context(kafka_broker(folder)), 1
        yield found


def _plans(given: argparse.Namespace) -> Iterator[tuple[str, ChaosPlan]]:
    if given.plan:
        yield f"plan {given.plan}", plan_from(given.plan)
    elif given.seeds:
        yield from (_mixed(seed, given) for seed in given.seeds)
    else:
        for kind in every_fault():
            yield f"{kind}, {given.events} events", alone(kind, seed=1, events=given.events)
        for seed in range(1, 1_000_000):
            yield _mixed(seed, given)


def seeds(text: str) -> range:
    """The seeds from the first to the last one given."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _mixed(seed: int, given: argparse.Namespace) -> tuple[str, ChaosPlan]:
    name = f"mix {seed}, {given.faults} faults, {given.events} events"
    return name, mix(seed, events=given.events, faults=given.faults)


def _one(name: str, plan: ChaosPlan, broker: KafkaBroker, results: Path) -> str:
    """Run a plan on a new ledger and note what came of it; what is wrong, or nothing."""
    result: dict[str, object] = {"name": name, "commit": _commit(), "plan": json.loads(plan.text())}
    with tempfile.TemporaryDirectory() as folder, servers(broker, Path(folder)) as with_:
        result["ledger"] = "TigerBeetle" if with_.real else "embedded"
        try:
            result |= {"verdict": "passed", **run(plan, with_)}
        except AssertionError as wrong:
            result |= {"verdict": "failed", "wrong": str(wrong)}
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    said = {key: value for key, value in result.items() if key not in {"name", "plan", "commit"}}
    print(f"{name}: {json.dumps(said)}", flush=True)
    return str(result.get("wrong", ""))


def _shrunk(plan: ChaosPlan, broker: KafkaBroker, tries: int) -> ChaosPlan:
    """The smallest plan found that still fails, after so many runs."""
    smaller = list(plan.smaller())
    while smaller and tries:
        tries -= 1
        candidate = smaller.pop(0)
        with tempfile.TemporaryDirectory() as folder, servers(broker, Path(folder)) as with_:
            try:
                run(candidate, with_)
            except AssertionError:
                plan, smaller = candidate, list(candidate.smaller())
    return plan


def _passed(results: Path) -> set[str]:
    """The names of the runs that the results file says have passed."""
    if not results.exists():
        return set()
    return {line["name"] for line in read(results) if line["verdict"] == "passed"}


def _commit() -> str:
    """What was tried; with a plus when the tree has changes that are in no commit."""
    told = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    found = subprocess.run(told, capture_output=True, text=True, check=False)
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
