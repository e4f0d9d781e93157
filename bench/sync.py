"""`python -m bench.sync`: announcements a second into PostgreSQL, each of another account.

Beside it, in the same run, the reading alone, and the same reading with a request for each account:
the ratio is what lookups bring. The outbox is in memory; ledger and PostgreSQL are real servers.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tests.servers.postgres import postgres_server
from tests.servers.tigerbeetle import tigerbeetle
from worker.config.sections import SyncSettings
from worker.core.ids import account_id, account_user_data
from worker.core.ports import Commit, Polled, Record, TopicPartition
from worker.core.wire import Account, AccountFilter, Transfer, pack_account, pack_transfer
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.sync.balances import read_nets
from worker.jobs.sync.follow import OutboxFollower
from worker.jobs.sync.postgres import PostgresCache
from worker.jobs.sync.targets import find_targets
from worker.ledger.tigerbeetle import TigerBeetleLedger
from worker.rulebooks.load import load

ACCOUNTS = 60_000
ONE_BY_ONE = 3_000
"""Accounts that are also read by a request each."""

BATCH = 4_000
USD = 840
OUTBOX = "ledger.transfers.posted"
RULES = """
version: 1
ledgers: {usd: {id: 840, scale: 2}}
accounts:
  clearing: {code: 1100, type: asset}
  wallet: {code: 2001, type: liability, per: customer, flags: [history], sync_to: wallets.balance}
transactions:
  charge:
    on: charge.succeeded
    currency: data.object.currency
    transfers:
      gross: {debit: clearing, credit: "wallet[data.object.customer]", amount: 1, code: 1}
"""
_USER_DATA = ("user_data_128", "user_data_64", "user_data_32")


def main() -> int:
    """One run; its figures as JSON."""
    with tempfile.TemporaryDirectory() as folder, _ledger(Path(folder)) as ledger:
        rules = Path(folder) / "rules.yaml"
        rules.write_text(RULES, encoding="utf-8")
        ids = [account_id(ledger=USD, name="wallet", key=_key(n)) for n in range(ACCOUNTS)]
        outbox = MemoryOutbox(list(_announced(ledger, ids)))
        with postgres_server() as postgres:
            targets = find_targets(load(rules), SyncSettings())
            with closing(PostgresCache(postgres.dsn, deadline_seconds=60)) as cache:
                cache.make(cache.lacking(targets.columns))
                follower = OutboxFollower(
                    outbox=outbox, ledger=ledger, cache=cache, targets=targets
                )
                cpu, began = time.process_time(), time.perf_counter()
                while outbox.records:
                    follower.step()
                seconds, used = time.perf_counter() - began, time.process_time() - cpu
                written = follower.tally.rows_written
        lookups = _each(lambda: read_nets(ledger, ids), ACCOUNTS)
        one_by_one = _each(lambda: _read_one_by_one(ledger, ids[:ONE_BY_ONE]), ONE_BY_ONE)
    figures = {
        "load": os.getloadavg()[0],
        "rows": written,
        "rows_per_second": round(written / seconds),
        "cpu_us_each": round(used / written * 1e6, 1),
        "read_us_each": round(lookups, 1),
        "read_one_by_one_us_each": round(one_by_one, 1),
        "one_by_one_to_lookups": round(one_by_one / lookups, 1),
    }
    json.dump(figures, sys.stdout, indent=2)
    print()
    return 0


class MemoryOutbox:
    """Gives the announcements in batches; its commits go nowhere."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        del timeout_seconds
        taken, self.records = self.records[:records_max], self.records[records_max:]
        return Polled(taken, [], [], {})

    def try_commit(self, commits: Sequence[Commit]) -> bool:
        del commits
        return True

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        raise NotImplementedError(f"{partition} is read once, not from {offset} again")


@contextmanager
def _ledger(folder: Path) -> Iterator[TigerBeetleLedger]:
    with tigerbeetle(data_dir=folder) as server:
        ledger = TigerBeetleLedger(addresses=server.address, cluster_id=0, deadline_seconds=60)
        with closing(ledger):
            yield ledger


def _key(number: int) -> str:
    return f"cus_{number:07d}"


def _announced(ledger: TigerBeetleLedger, ids: Sequence[int]) -> Iterator[Record]:
    """Post one transfer to each account, and give what the worker would announce of it."""
    clearing = account_id(ledger=USD, name="clearing", key="")
    ledger.create_accounts(pack_account(Account(clearing, ledger=USD, code=1100)))
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        accounts, transfers = [], []
        for number, wallet in enumerate(part, start):
            data = dict(zip(_USER_DATA, account_user_data(_key(number)), strict=True))
            accounts.append(pack_account(Account(wallet, ledger=USD, code=2001, flags=8, **data)))
            row = Transfer(number + 1, clearing, wallet, 100 + number, ledger=USD, code=1)
            transfers.append(pack_transfer(row))
        ledger.create_accounts(b"".join(accounts))
        results = ledger.create_transfers(b"".join(transfers))
        for number, (wallet, result) in enumerate(zip(part, results, strict=True), start):
            fields = {
                "transfer_id": f"{number + 1:032x}",
                "debit_account_id": f"{clearing:032x}", "credit_account_id": f"{wallet:032x}",
                "debit_account": "clearing", "credit_account": "wallet",
                "debit_key": "", "credit_key": _key(number),
                "amount": str(100 + number), "ledger": USD,
                "ledger_timestamp": str(result.timestamp),
            }  # fmt: skip
            yield ArchivedRecord(OUTBOX, 0, number, b"", json.dumps(fields).encode(), [])


def _read_one_by_one(ledger: TigerBeetleLedger, ids: Sequence[int]) -> None:
    for number in ids:
        ledger.account_balances(AccountFilter(number, limit=1, reversed=True))


def _each(work: Callable[[], object], count: int) -> float:
    """Microseconds for each of so many."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / count * 1e6


if __name__ == "__main__":
    raise SystemExit(main())
