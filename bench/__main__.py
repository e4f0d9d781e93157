"""`make bench`: the worker beside plain loops on the same topic, in one run, as ratios.

Figures on a shared machine shift with its load; the contenders take turns, and the ratio within
each round is what counts. It says which servers it used. Each record is a charge of two legs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import again, catching_up, latency, pair, scaling, storage
from bench.contenders import ROOT, Bench, Figures
from bench.report import plot, show, show_stages
from tests.servers.kafka import kafka_broker
from tests.servers.tigerbeetle import CACHE, tigerbeetle
from worker.commands.run import COMPILED

RESULTS = ROOT / "bench" / "results"
EVENTS_ONE_BY_ONE = 1000
"""About a hundred a second."""

CONTENDERS: dict[str, Callable[[Bench], Figures]] = {
    "a straight fastavro": lambda bench: bench.plain("straight"),
    "b client's objects": lambda bench: bench.plain("objects", "4000"),
    "d worker": lambda bench: bench.worker(topic=bench.topic()),
    "d worker, JSON out": lambda bench: bench.worker(topic=bench.topic(), outbox="json"),
    "d worker, webhooks": lambda bench: bench.worker(topic=bench.topic("webhook")),
    "e ledger alone": lambda bench: bench.limit(),
    "f Kafka alone": lambda bench: bench.plain("raw"),
}
ONCE: dict[str, Callable[[Bench], Figures]] = {
    "c one at a time": lambda bench: bench.plain("objects", "1", events=EVENTS_ONE_BY_ONE),
}
"""Too slow for every round."""

RATIOS = {
    "CPU per event, worker / straight": ("d worker", "a straight fastavro", "cpu_us_per_event"),
    "CPU per event, worker / client's objects": (
        "d worker",
        "b client's objects",
        "cpu_us_per_event",
    ),
    "events/s, worker / straight": ("d worker", "a straight fastavro", "events_per_second"),
    "CPU, Avro out / JSON out": ("d worker", "d worker, JSON out", "cpu_us_per_event"),
    "CPU, webhook in / Avro in": ("d worker, webhooks", "d worker", "cpu_us_per_event"),
}
MORE: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "latency": latency.measure,
    "scaling": scaling.measure,
    "storage": storage.measure,
    "pair": pair.measure,
    "again": again.measure,
    "catching-up": catching_up.measure,
}
"""What else can be asked for, by option."""


def main() -> None:
    given = _arguments()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = given.kafka or stack.enter_context(kafka_broker(work)).bootstrap_servers
        ledger = (
            given.ledger or stack.enter_context(tigerbeetle(data_dir=work, memory=CACHE)).address
        )
        kind = "compiled" if COMPILED else "plain Python"
        print(f"the worker {kind}, real Kafka at {kafka}, real TigerBeetle at {ledger}")
        bench = Bench(kafka, ledger, work, given.events, given.seed, given.partitions)
        found: dict[str, Any] = {}
        if given.latency:  # first: what others wrote would still be on its way to the disk
            found["latency"] = latency.measure(bench)
        if given.rounds:
            found |= _contest(bench, given.rounds)
        for name, measure in MORE.items():
            if getattr(given, name.replace("-", "_")) and name not in found:
                found[name] = measure(bench)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(found, indent=2) + "\n")
    (RESULTS / "bench.svg").write_text(plot(found))
    print(f"figures in {RESULTS / 'bench.json'}, plot in {RESULTS / 'bench.svg'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=4, help="of every topic")
    parser.add_argument("--rounds", type=int, default=3, help="0 leaves the contest out")
    parser.add_argument(
        "--kafka", metavar="ADDRESS", help="a broker that runs, else one is started"
    )
    parser.add_argument("--ledger", metavar="ADDRESS", help="a TigerBeetle that runs, cluster 0")
    for name, measure in MORE.items():
        told = (measure.__doc__ or "").splitlines()[0]
        parser.add_argument(f"--{name}", action="store_true", help=told)
    return parser.parse_args()


def _contest(bench: Bench, rounds: int) -> dict[str, Any]:
    """All contenders in turn, so many times; medians, and the median of each round's ratios."""
    bench.topic()
    bench.topic("webhook")
    ran: list[dict[str, Figures]] = []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        ran.append({name: run(bench) for name, run in CONTENDERS.items()})
    ran[0] |= {name: run(bench) for name, run in ONCE.items()}
    medians = {name: _median([one[name] for one in ran if name in one]) for name in ran[0]}
    ratios = {
        told: statistics.median(one[top][key] / one[bottom][key] for one in ran)
        for told, (top, bottom, key) in RATIOS.items()
    }
    show(medians, ratios)
    show_stages(medians)
    return {"rounds": ran, "medians": medians, "ratios": ratios}


def _median(ran: list[Figures]) -> Figures:
    """Figure by figure."""
    return {
        key: _median([one[key] for one in ran])
        if isinstance(value, dict)
        else statistics.median(one[key] for one in ran)
        for key, value in ran[0].items()
    }


if __name__ == "__main__":
    main()
