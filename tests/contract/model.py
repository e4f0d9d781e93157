"""Random requests for two ledgers, and what must be equal about their answers.

Ids are small numbers offset by a base that no other example uses, so that many examples run on one
real server. Its clock is its own: timestamps are compared by their order and by what has which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import strategies as st

from worker.core.ports import Ledger
from worker.core.wire import (
    AMOUNT_MAX,
    Account,
    AccountFilter,
    AccountFlags,
    CreateResult,
    QueryFilter,
    Transfer,
    TransferFlags,
    pack_account,
    pack_transfer,
)

A, T = AccountFlags, TransferFlags
ACCOUNTS = 6
TRANSFERS = 9
HALF = 1 << 127
NOW = "now"
"""A timestamp that is given as an offset from the newest transfer's or account's."""


class When(NamedTuple):
    """An imported event's time: nanoseconds after the newest account or transfer, or as it is."""

    base: str
    offset: int

    def of(self, newest: dict[str, int]) -> int:
        """The timestamp on a ledger whose newest times are these."""
        return newest.get(self.base, 0) + self.offset


class ModelEvent(NamedTuple):
    """An account or transfer to create; its ids, ledger and tag are small numbers."""

    row: Account | Transfer
    when: When


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Events to create together: all accounts, or all transfers."""

    events: tuple[ModelEvent, ...]


def mostly(common: Sequence[Any], *rare: Any) -> st.SearchStrategy[Any]:
    """One of the common values, one time in ten a rare one; one draw, because many are needed."""
    times_common = -(-9 * len(rare) // len(common))
    return st.sampled_from([*list(common) * times_common, *rare])


def flags_of(*common: int, rare: int) -> st.SearchStrategy[int]:
    """One of the usual combinations, one in five `linked`; one time in ten any at all."""
    usual = [int(flag) | linked for flag in common for linked in (0, 0, 0, 0, 1)]
    return mostly(usual, *range(rare + 1))


account_ids = mostly(range(1, ACCOUNTS + 1), 0, 99, AMOUNT_MAX)
pairs = st.sampled_from([(debit, credit) for debit in range(1, 5) for credit in range(1, 5)])
tags = st.sampled_from([0, 0, 1, 2])
seldom = mostly([0], 1, 2)
ledgers = mostly([1], 0, 2)
amounts = mostly([0, 1, 1, 2, 3, 5, 5, 8, 10], HALF, HALF - 1, AMOUNT_MAX)
settled_amounts = st.sampled_from([0, 1, 3, 5, AMOUNT_MAX, AMOUNT_MAX])
plain_times = mostly([When(NOW, 0)], *[When(NOW, 0)] * 3, When(NOW, 1))
imported_times = mostly(
    [When(base, offset) for base in ("account", "transfer") for offset in range(1, 9)],
    *(When(base, 0) for base in ("account", "transfer")),
    *(When(NOW, time) for time in (0, (1 << 63) - 1, 1 << 63, 1)),
)
account_flags = flags_of(0, A.HISTORY, 2, 4, A.HISTORY | 2, 6, A.CLOSED, rare=127)
transfer_flags = flags_of(
    *[0] * 5,
    *[T.PENDING] * 5,
    *[T.POST_PENDING_TRANSFER] * 3,
    *[T.VOID_PENDING_TRANSFER] * 2,
    T.BALANCING_DEBIT,
    T.BALANCING_CREDIT,
    T.BALANCING_DEBIT | T.BALANCING_CREDIT,
    T.PENDING | T.BALANCING_DEBIT,
    T.PENDING | T.CLOSING_DEBIT,
    T.PENDING | T.CLOSING_CREDIT,
    rare=1023,
)
pendings = st.sampled_from([0, 3600, (1 << 32) - 1])
"""Timeouts far enough away not to expire within an example."""

odd_transfer = st.sampled_from(
    [
        *(
            {name: value}
            for name in Transfer._fields[1:3]
            for value in (0, 1, 2, 5, 99, AMOUNT_MAX)
        ),
        *({"id": value} for value in (0, AMOUNT_MAX)),
        *({"pending_id": value} for value in (0, 1, 2, AMOUNT_MAX)),
        *({name: value} for name in ("ledger", "code") for value in (0, 1, 2)),
        {"timeout": 7200},
        *({"user_data_64": value, "user_data_32": 1} for value in (0, 1)),
    ]
)
odd_account = st.sampled_from(
    [
        *({name: value} for name in ("ledger", "code") for value in (0, 2)),
        *({"id": value} for value in (0, AMOUNT_MAX)),
        *({name: 1} for name in (*Account._fields[1:5], "reserved", "user_data_64")),
    ]
)


def sometimes(draw: st.DrawFn, one_in: int) -> bool:
    """True in one of so many."""
    return draw(st.integers(1, one_in)) == one_in


@st.composite
def accounts(draw: st.DrawFn, *, imported: bool) -> ModelEvent:
    """An account of few ids, mostly well formed."""
    flags = draw(account_flags)
    row = Account(
        id=draw(st.integers(1, ACCOUNTS + 2)),
        user_data_128=draw(tags),
        ledger=1,
        code=1,
        flags=flags | A.IMPORTED if imported else flags,
    )
    row = row._replace(**draw(odd_account)) if sometimes(draw, 4) else row
    return ModelEvent(row, draw(imported_times if imported else plain_times))


@st.composite
def transfers(draw: st.DrawFn, *, imported: bool, timeouts: bool) -> ModelEvent:
    """A transfer of few ids: moves, reservations, posts, voids, balancing, closing."""
    flags = draw(transfer_flags)
    given = T.IMPORTED if imported else T.NONE
    row = Transfer(draw(st.integers(1, TRANSFERS)), flags=flags | given)
    if flags & (T.POST_PENDING_TRANSFER | T.VOID_PENDING_TRANSFER):
        pending_id = draw(st.integers(1, TRANSFERS))
        row = row._replace(pending_id=pending_id, amount=draw(settled_amounts))
    else:
        debit, credit = draw(pairs)
        row = row._replace(
            debit_account_id=debit,
            credit_account_id=credit,
            amount=draw(amounts),
            user_data_128=draw(tags),
            user_data_64=draw(seldom),
            ledger=1,
            code=draw(st.integers(1, 2)),
        )
        if flags & T.PENDING and (timeouts or imported):
            row = row._replace(timeout=draw(pendings))
    if sometimes(draw, 5):
        odd = row._replace(**draw(odd_transfer))
        # No pending transfer with a timeout may be stored where others are imported.
        row = odd if timeouts or not (odd.timeout and flags & T.PENDING) else row
    return ModelEvent(row, draw(imported_times if imported else plain_times))


@st.composite
def requests(draw: st.DrawFn, *, timeouts: bool) -> ModelRequest:
    """One request; imported only in examples without timeouts.

    A 0.17.9 server stops on an imported post or void of a pending transfer that has a timeout.
    """
    imported = not timeouts and sometimes(draw, 4)
    one = (
        accounts(imported=imported)
        if sometimes(draw, 5)
        else transfers(imported=imported, timeouts=timeouts)
    )
    return ModelRequest(tuple(draw(one) for _ in range(draw(st.integers(1, 8)))))


@st.composite
def examples(draw: st.DrawFn) -> list[ModelRequest]:
    """Requests in order, after one that opens every account and one that moves something.

    Now and then a request is sent again, as a worker does after a crash.
    """
    timeouts = draw(st.booleans())
    now = When(NOW, 0)
    opening = tuple(
        ModelEvent(Account(id=n + 1, ledger=1 + n // 5, code=1, flags=flags), now)
        for n, flags in enumerate(draw(st.permutations([0, 0, 8, 4, 8, 10])))
    )
    first = ModelEvent(Transfer(100, 1, 2, 0, ledger=1, code=1), now)
    sent = [ModelRequest(opening), ModelRequest((first,))]
    for _ in range(draw(st.integers(1, 6))):
        again = sometimes(draw, 6)
        sent.append(draw(st.sampled_from(sent) if again else requests(timeouts=timeouts)))
    return sent


@st.composite
def filters(draw: st.DrawFn) -> list[QueryFilter | AccountFilter]:
    """Queries over all and over one account; times are numbers of known timestamps."""
    asked: list[QueryFilter | AccountFilter] = []
    for kind in draw(st.lists(st.booleans(), min_size=2, max_size=5)):
        common: dict[str, Any] = {
            "user_data_128": draw(tags),
            "user_data_64": draw(seldom),
            "user_data_32": draw(seldom),
            "code": draw(seldom),
            "timestamp_min": draw(mostly([0], *range(1, 9))),
            "timestamp_max": draw(mostly([0], *range(1, 20))),
            "limit": draw(mostly([8189], 3, 1, 0)),
            "reversed": draw(st.booleans()),
        }
        if kind:
            asked.append(QueryFilter(ledger=draw(ledgers) or 1, **common))
        else:
            sides = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
            asked.append(
                AccountFilter(draw(account_ids), debits=sides[0], credits=sides[1], **common)
            )
    return asked


@dataclass(slots=True)
class Side:
    """One ledger during an example: where its ids begin and the newest times it stored."""

    ledger: Ledger
    base: int
    number: int
    newest: dict[str, int] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)

    def send(self, request: ModelRequest) -> list[CreateResult]:
        """Create the events; keep the times answered."""
        placed = [self._placed(event) for event in request.events]
        kind = "account" if isinstance(request.events[0].row, Account) else "transfer"
        if kind == "account":
            results = self.ledger.create_accounts(b"".join(map(pack_account, placed)))
        else:
            results = self.ledger.create_transfers(b"".join(map(pack_transfer, placed)))
        created = [result.timestamp for result in results if result.status == 0xFFFFFFFF]
        self.newest[kind] = max([self.newest.get(kind, 0), *created])
        self.times += [result.timestamp for result in results]
        return results

    def ask(self, query: QueryFilter | AccountFilter) -> list[list[Any]]:
        """All answers that one filter can get."""
        known = sorted(set(self.times))
        low, high = (
            known[n % len(known)] if n else 0 for n in (query.timestamp_min, query.timestamp_max)
        )
        query = query._replace(
            timestamp_min=low, timestamp_max=high, user_data_128=self._wide(query.user_data_128)
        )
        if isinstance(query, AccountFilter):
            query = query._replace(account_id=self._wide(query.account_id))
            return [self.ledger.account_transfers(query), self.ledger.account_balances(query)]
        query = query._replace(ledger=self.number + query.ledger)
        return [self.ledger.query_accounts(query), self.ledger.query_transfers(query)]

    def all_held(self) -> list[list[Any]]:
        """Every account and transfer that an example can have made, in a fixed order."""
        transfers_ = [self.base + n for n in (100, *range(TRANSFERS, 0, -1), 100)]
        return [
            self.ledger.lookup_accounts([self.base + n for n in range(ACCOUNTS + 3)]),
            self.ledger.lookup_transfers(transfers_),
        ]

    def _wide(self, number: int) -> int:
        return self.base + number if 0 < number < AMOUNT_MAX else number

    def _placed(self, event: ModelEvent) -> Any:
        row, when = event
        row = row._replace(
            id=self._wide(row.id),
            user_data_128=self._wide(row.user_data_128),
            ledger=self.number + row.ledger if row.ledger else 0,
            timestamp=when.of(self.newest),
        )
        if isinstance(row, Account):
            return row
        return row._replace(
            debit_account_id=self._wide(row.debit_account_id),
            credit_account_id=self._wide(row.credit_account_id),
            pending_id=self._wide(row.pending_id),
        )


def without_times(rows: Sequence[Any]) -> list[Any]:
    """The rows as they are but for their timestamps."""
    return [row._replace(timestamp=0) for row in rows]


def times_match(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether equal times are equal in both, and earlier ones earlier."""
    return _ranks(one) == _ranks(other)


def _ranks(times: Sequence[int]) -> list[int]:
    place = {time: rank for rank, time in enumerate(sorted(set(times)))}
    return [place[time] for time in times]
