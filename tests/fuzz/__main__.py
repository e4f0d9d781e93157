"""`python -m tests.fuzz --records N`: hostile records through real workers, round after round."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.fuzz.campaign import campaign
from tests.fuzz.envelopes import fuzzed
from tests.servers.kafka import KafkaUnavailable, kafka_broker
from tests.servers.tigerbeetle import TigerBeetleUnavailable, tigerbeetle
from tests.unit.producers_page import examples


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--round", type=int, default=20_000, help="records of one worker")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--kafka", default="", help="a broker that runs, as host:port")
    parser.add_argument("--ledger", default="", help="an empty ledger that runs, as host:port")
    parser.add_argument(
        "--envelopes", type=int, default=0, metavar="N", help="mutated records of each producer"
    )
    given = parser.parse_args()
    if given.envelopes:
        return envelopes(given.envelopes, given.seed)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            kafka = given.kafka or stack.enter_context(kafka_broker(folder)).bootstrap_servers
            ledger = given.ledger or stack.enter_context(tigerbeetle(data_dir=folder)).address
            fuzzed = campaign(kafka, ledger)
            for number in range(-(-given.records // given.round)):
                fuzzed.round(given.seed + number, given.round)
                print(fuzzed.result.text(), flush=True)
            fuzzed.audit(ledger)
            print(dict(fuzzed.result.reasons), flush=True)
    except (KafkaUnavailable, TigerBeetleUnavailable) as missing:
        print(missing, file=sys.stderr)
        return 3
    return 0


def envelopes(records: int, seed: int) -> int:
    """So many of each, in process; no server is needed."""
    with tempfile.TemporaryDirectory() as folder:
        for example in examples():
            found = fuzzed(example, Path(folder), seed=seed, records=records)
            print(f"{example.section}: {dict(found.most_common())}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
