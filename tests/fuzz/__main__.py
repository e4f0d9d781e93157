"""`python -m tests.fuzz --records N`: hostile records through real workers, round after round."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.fuzz.campaign import campaign
from tests.servers.kafka import KafkaUnavailable, kafka_broker
from tests.servers.tigerbeetle import TigerBeetleUnavailable, tigerbeetle


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--round", type=int, default=20_000, help="records of one worker")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--kafka", default="", help="a broker that runs, as host:port")
    parser.add_argument("--ledger", default="", help="an empty ledger that runs, as host:port")
    given = parser.parse_args()
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


if __name__ == "__main__":
    sys.exit(main())
