"""The ledger alone: packed rows of linked pairs, time-ordered ids, no Kafka.

Rows are packed before the clock starts. Usage: python -m bench.limit LEDGER GROUP EVENTS FIRST
"""

from __future__ import annotations

import sys
import time

from bench.loop import Stopwatch
from bench.straight import RuleByHand
from bench.traffic import charges
from worker.core.ports import Ledger
from worker.core.wire import CreateTransferStatus, pack_account
from worker.ledger.open import open_ledger

EVENTS_IN_A_BATCH = 4094
"""Of two legs each: what one request takes."""


def rows_of(
    books: RuleByHand, ledger: Ledger, *, events: int, customers: int, first: int = 0
) -> list[bytes]:
    """The batches of so many charges, numbered from `first`; their accounts are made."""
    known: set[int] = set()
    batches, batch = [], []
    for number, event in enumerate(charges(events, seed=2, customers=customers, first=first)):
        if fresh := books.accounts([event], known):
            ledger.create_accounts(b"".join(map(pack_account, fresh)))
        batch += [row for _, row in books.pack(event, number)]
        if len(batch) == EVENTS_IN_A_BATCH * 2:
            batches.append(b"".join(batch))
            batch = []
    return [*batches, b"".join(batch)] if batch else batches


def main() -> None:
    address, group, events, first = sys.argv[1:]
    ledger = open_ledger(addresses=address, cluster_id=0, deadline_seconds=60)
    books = RuleByHand(group)
    batches = rows_of(books, ledger, events=int(events), customers=1000, first=int(first))
    clock, waits = Stopwatch(), []
    clock.start()
    for batch in batches:
        asked = time.monotonic()
        results = ledger.create_transfers(batch)
        waits.append(time.monotonic() - asked)
        if any(one.status != CreateTransferStatus.CREATED for one in results):
            raise SystemExit("the ledger refused a transfer of the benchmark")
    clock.lap()
    clock.report(int(events), batch_seconds_p50=sorted(waits)[len(waits) // 2])
    ledger.close()


if __name__ == "__main__":
    main()
