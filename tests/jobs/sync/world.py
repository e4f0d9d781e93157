"""A small ledger whose transfers are announced, an outbox in memory, and a cache in memory."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from worker.config.sections import SyncSettings
from worker.core.ids import account_id, account_user_data
from worker.core.ports import Commit, Polled, Record, TopicPartition
from worker.core.rulebook import Rulebook
from worker.core.wire import Account, CreateTransferStatus, Transfer, pack_account, pack_transfer
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.sync.cache import BalanceRow, SetAsideRow, StoredBalance, WriteResult
from worker.jobs.sync.cells import stored_cells
from worker.jobs.sync.follow import OutboxFollower
from worker.jobs.sync.targets import SyncTarget, find_targets
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import load

OUTBOX = "ledger.transfers.posted"
PLACE = (OUTBOX, 0)
USD, EUR = 840, 978
RULES = """
version: 1
ledgers:
  usd: {id: 840, scale: 2}
  eur: {id: 978, scale: 2}
accounts:
  clearing: {code: 1100, type: asset, sync_to: house.balance}
  wallet: {code: 2001, type: liability, per: customer, flags: [history], sync_to: wallets.balance}
  owed: {code: 1500, type: asset, per: customer, flags: [history], sync_to: wallets.owed}
  fees: {code: 4000, type: revenue}
transactions:
  charge:
    on: charge.succeeded
    currency: data.object.currency
    transfers:
      gross: {debit: clearing, credit: "wallet[data.object.customer]", amount: 1, code: 1}
      fee: {debit: "owed[data.object.customer]", credit: fees, amount: 1, code: 2}
"""


def rules(folder: Path, text: str = RULES) -> Rulebook:
    """A rulebook with two families, a single account, and one that is not copied."""
    path = folder / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


@dataclass(slots=True)
class AnnouncedLedger:
    """A ledger, and the announcement of everything that was posted to it, in order."""

    rulebook: Rulebook
    ledger: EmbeddedLedger = field(default_factory=EmbeddedLedger)
    records: list[Record] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    def move(
        self,
        debit: str,
        credit: str,
        amount: int,
        *,
        ledger: int = USD,
        told: Mapping[str, Any] | None = None,
    ) -> Record:
        """Post one transfer between accounts written as `wallet[cus_1]`, and announce it.

        told: what the announcement says otherwise.
        """
        sides = {"debit": _parts(debit), "credit": _parts(credit)}
        ids = {side: self.account(name, key, ledger) for side, (name, key) in sides.items()}
        number = len(self.records) + 1
        transfer = Transfer(number, ids["debit"], ids["credit"], amount, ledger=ledger, code=1)
        (result,) = self.ledger.create_transfers(pack_transfer(transfer))
        assert result.status == CreateTransferStatus.CREATED
        fields = {
            "transfer_id": f"{number:032x}",
            **{f"{side}_account_id": f"{ids[side]:032x}" for side in sides},
            **{f"{side}_account": name for side, (name, _) in sides.items()},
            **{f"{side}_key": key for side, (_, key) in sides.items()},
            "amount": str(amount),
            "ledger": ledger,
            "ledger_timestamp": str(result.timestamp),
            **(told or {}),
        }
        value = json.dumps(fields).encode()
        record = ArchivedRecord(OUTBOX, 0, len(self.records), b"", value, [])
        self.records.append(record)
        return record

    def account(self, name: str, key: str, ledger: int) -> int:
        """Make an account where it is missing, as the worker makes it; its id."""
        declared = self.rulebook.accounts[name]
        number = account_id(ledger=ledger, name=name, key=key)
        data = dict(zip(_USER_DATA, account_user_data(key), strict=True))
        made = Account(number, ledger=ledger, code=declared.code, flags=declared.flags, **data)
        self.ledger.create_accounts(pack_account(made))
        return number

    def balance(self, name: str, key: str = "", ledger: int = USD) -> int:
        """Credits minus debits, as the ledger holds them now."""
        number = account_id(ledger=ledger, name=name, key=key)
        (held,) = self.ledger.lookup_accounts([number])
        return held.credits_posted - held.debits_posted


_USER_DATA = ("user_data_128", "user_data_64", "user_data_32")


def _parts(account: str) -> tuple[str, str]:
    name, _, key = account.partition("[")
    return name, key.removesuffix("]")


class MemoryOutbox:
    """Gives batches of records one after the other, and keeps what was committed.

    refuse: commits that the group does not take, by their number.
    sought: where the follower went back to, in order; what comes next is the test's affair.
    """

    def __init__(self, *batches: Sequence[Record], refuse: Collection[int] = ()) -> None:
        self._batches = list(batches)
        self._refuse = refuse
        self._asked = 0
        self.lost: list[TopicPartition] = []
        self.gained: list[TopicPartition] = []
        self.sought: list[tuple[TopicPartition, int]] = []
        self.seekable = True
        self.ends: dict[TopicPartition, int] = {}
        self.committed: dict[TopicPartition, int] = {}

    def add(self, batch: Sequence[Record]) -> None:
        """One more, after the others."""
        self._batches.append(batch)

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        del records_max, timeout_seconds
        records = self._batches.pop(0) if self._batches else ()
        lost, gained, ends = self.lost, self.gained, self.ends
        self.lost, self.gained, self.ends = [], [], {}
        return Polled(records, lost, gained, ends)

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        if self.seekable:
            self.sought.append((partition, offset))
        return self.seekable

    def try_commit(self, commits: Sequence[Commit]) -> bool:
        self._asked += 1
        if self._asked in self._refuse:
            return False
        self.committed |= {(one.topic, one.partition): one.offset for one in commits}
        return True


class MemoryCache:
    """Does what the database does, by the same contract (`test_cache.py`).

    rows: by table, key and currency; in each, balance and timestamp by the balance's column.
    locked: keys whose row another session has.
    """

    def __init__(self, *, add_rows: bool = True) -> None:
        self.rows: dict[tuple[str, str, str], dict[str, tuple[int, int]]] = {}
        self.aside: dict[tuple[str, str, str], tuple[SetAsideRow, bool]] = {}
        self.locked: set[str] = set()
        self.saved: dict[TopicPartition, int] = {}
        self._add_rows = add_rows

    def write(
        self,
        rows: Mapping[SyncTarget, Sequence[BalanceRow]],
        offsets: Mapping[TopicPartition, int] = MappingProxyType({}),
    ) -> WriteResult:
        moved = without = aside = 0
        for target, those in rows.items():
            for one in those:
                where = (target.table, one.key, one.currency)
                noted = (target.text, one.key, one.currency)
                if one.key in self.locked:
                    row = SetAsideRow(*noted, one.account_id)
                    self.aside[noted] = (row, True)
                    aside += 1
                    continue
                self.aside.pop(noted, None)
                if where not in self.rows and not self._add_rows:
                    without += 1
                    continue
                stored = self.rows.setdefault(where, {})
                if stored.get(target.balance, (0, 0))[1] < one.timestamp:
                    stored[target.balance] = (one.balance, one.timestamp)
                    moved += 1
        self.saved |= offsets
        return WriteResult(moved, without, aside)

    def stored(
        self, target: SyncTarget, rows: Sequence[BalanceRow]
    ) -> Mapping[tuple[str, str], StoredBalance]:
        found = {}
        for row in rows:
            stored = self.rows.get((target.table, row.key, row.currency))
            if stored is not None:
                balance, timestamp = stored.get(target.balance, (None, 0))
                found[row.key, row.currency] = StoredBalance(balance, timestamp)
        return found

    def count_older(self, target: SyncTarget, timestamp: int) -> int:
        return sum(
            row[target.balance][1] < timestamp
            for (table, key, currency), row in self.rows.items()
            if table == target.table
            and target.balance in row
            and (target.text, key, currency) not in self.aside
        )

    def offsets(self) -> Mapping[TopicPartition, int]:
        return self.saved

    def set_aside(
        self, *, tried_before_seconds: float, locked_before_seconds: float
    ) -> Sequence[SetAsideRow]:
        return [
            row
            for row, locked in self.aside.values()
            if (locked_before_seconds if locked else tried_before_seconds) <= 1
        ]

    def set_aside_count(self) -> int:
        return len(self.aside)

    def forget(self, rows: Collection[SetAsideRow]) -> None:
        for row in rows:
            del self.aside[row[:3]]

    def long_keys(self, target: SyncTarget, hashed: Collection[str]) -> dict[str, str]:
        keys = {key for table, key, _ in self.rows if table == target.table}
        return {stored_cells(key): key for key in keys if stored_cells(key) in hashed}

    def close(self) -> None:
        """Nothing to release."""


def follower(
    books: AnnouncedLedger, outbox: MemoryOutbox, cache: MemoryCache, **settings: Any
) -> OutboxFollower:
    targets = find_targets(books.rulebook, SyncSettings(**settings))
    return OutboxFollower(outbox=outbox, ledger=books.ledger, cache=cache, targets=targets)


def balances_of(cache: MemoryCache) -> dict[str, int]:
    """`wallets/cus_1/usd.balance` to minor units."""
    return {
        f"{table}/{key}/{currency}.{column}": balance
        for (table, key, currency), row in cache.rows.items()
        for column, (balance, _) in row.items()
    }
