"""TigerBeetle behind the port, by packed 128-byte rows: the official objects cost ten times more.

One request is outstanding at a time; its packet and buffers live until the client has answered it,
even when nobody waits any more. Source: TigerBeetle 0.17.9's Python client and `tb_client.h`.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from functools import partial
from threading import Event, Lock
from typing import Final

from tigerbeetle import bindings
from tigerbeetle.client import configure_logging

from worker.core.errors import BrokenInvariant, DependencyUnavailable, LedgerClosed, UsageError
from worker.core.ports import AccountsNow
from worker.core.wire import (
    RESULT_ROW,
    ROW_BYTES,
    Account,
    AccountBalance,
    AccountFilter,
    CreateResult,
    QueryFilter,
    Transfer,
    unpack_accounts,
    unpack_transfers,
)
from worker.ledger.query_rows import pack_account_filter, pack_query_filter, unpack_balances
from worker.ledger.request_split import request_parts, whole_chains

BATCH_MAX: Final = 8189
"""What fits a message of 1 MiB; servers with a smaller limit take less."""

WAIT_SECONDS: Final = 0.5
"""How often a wait looks whether the ledger was closed; an answer ends it at once."""

_result: Final = partial(tuple.__new__, CreateResult)
"""Makes a Result of its fields; Python's own constructor would cost more than the transfer."""

ID_BYTES: Final = 16
ClientOperation = bindings.Operation
PacketStatus = bindings.PacketStatus
InitStatus = bindings.InitStatus

NOT_REACHED: Final = {
    PacketStatus.CLIENT_EVICTED: (
        "the cluster ended this client's session: more than 64 sessions are open; run fewer "
        "processes, then restart this one"
    ),
    PacketStatus.CLIENT_RELEASE_TOO_LOW: (
        "this TigerBeetle client is too old for the cluster: install a newer ledger-worker"
    ),
    PacketStatus.CLIENT_RELEASE_TOO_HIGH: (
        "this TigerBeetle client is newer than the cluster: upgrade the servers first"
    ),
}

_open_ledgers: Final[set[TigerBeetleLedger]] = set()
"""Keeps the callback of every open client alive: the client's thread may call it at any time."""


class _TooMuch(Exception):
    """The request is larger than the server takes; nothing was executed."""


class _Request:
    """One packet, what it points to, and its answer."""

    __slots__ = ("done", "packet", "reply", "rows", "since", "status", "time_ns")

    def __init__(self, operation: int, rows: bytes) -> None:
        self.rows = rows
        self.packet = bindings.CPacket()
        self.packet.operation = operation
        self.packet.data = ctypes.cast(ctypes.c_char_p(rows), ctypes.c_void_p)
        self.packet.data_size = len(rows)
        self.done = Event()
        self.status = int(PacketStatus.OK)
        self.reply = b""
        self.time_ns = 0
        self.since = time.monotonic()


class TigerBeetleLedger:
    """A client of one cluster. Opening contacts nobody; the first request finds `batch_max`.

    addresses: IP:port of every replica, separated by commas, in the cluster's order.
    deadline_seconds: how long one request may take; None waits until `close()`.
    """

    def __init__(self, *, addresses: str, cluster_id: int, deadline_seconds: float | None) -> None:
        self._addresses: Final = addresses
        self._cluster_id: Final = cluster_id
        self._deadline_seconds: Final = deadline_seconds
        self._batch_max: int | None = None
        self._one_at_a_time = Lock()
        """Taken for a whole call: one request is outstanding at a time."""
        self._native = Lock()
        """Taken around calls into the client: none may come after it was closed."""
        self._closed = False
        self._outstanding: _Request | None = None
        self._completion = bindings.OnCompletion(self._completed)
        self._client = bindings.CClient()
        self._start()

    @property
    def batch_max(self) -> int:
        """The most accounts, transfers or ids that one request takes; asks the server once."""
        with self._one_at_a_time:
            return self._known_batch_max()

    @property
    def time_ns(self) -> int:
        """The cluster's time: an account without an id is refused, and the answer has a time."""
        (refused,) = self.create_accounts(bytes(ROW_BYTES))
        return refused.timestamp

    @property
    def waiting_seconds(self) -> float:
        """How long the request under way has been waiting; 0.0 when there is none.

        A request that passed its deadline is under way until the cluster answers it.
        """
        request = self._outstanding
        if request is None or request.done.is_set():
            return 0.0
        return time.monotonic() - request.since

    def create_accounts(self, rows: bytes) -> list[CreateResult]:
        """Create accounts from n × 128 bytes; one result for each, in order."""
        return self._create(ClientOperation.CREATE_ACCOUNTS, rows)

    def create_transfers(self, rows: bytes) -> list[CreateResult]:
        """Create transfers from n × 128 bytes; one result for each, in order."""
        return self._create(ClientOperation.CREATE_TRANSFERS, rows)

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts that exist, in the order of the ids; any number of ids."""
        return unpack_accounts(self._lookup(ClientOperation.LOOKUP_ACCOUNTS, ids))

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """The transfers that exist, in the order of the ids; any number of ids."""
        return unpack_transfers(self._lookup(ClientOperation.LOOKUP_TRANSFERS, ids))

    def accounts_now(self, ids: Sequence[int]) -> AccountsNow:
        """The accounts that exist, and the moment at which they were so; `batch_max` ids at most.

        The reply has the time that the cluster gave to the request when it ordered it.
        """
        with self._one_at_a_time:
            self._known_batch_max()
            answered = self._answered(ClientOperation.LOOKUP_ACCOUNTS, _packed_ids(ids))
        return AccountsNow(answered.time_ns, unpack_accounts(_reply(answered)))

    def query_accounts(self, query: QueryFilter) -> list[Account]:
        """Accounts that match, by timestamp; at most `limit` and `batch_max`."""
        return unpack_accounts(self._query(ClientOperation.QUERY_ACCOUNTS, query))

    def query_transfers(self, query: QueryFilter) -> list[Transfer]:
        """Transfers that match, by timestamp; at most `limit` and `batch_max`."""
        return unpack_transfers(self._query(ClientOperation.QUERY_TRANSFERS, query))

    def account_transfers(self, query: AccountFilter) -> list[Transfer]:
        """One account's transfers, by timestamp; at most `limit` and `batch_max`."""
        return unpack_transfers(self._query(ClientOperation.GET_ACCOUNT_TRANSFERS, query))

    def account_balances(self, query: AccountFilter) -> list[AccountBalance]:
        """One account's balances after each transfer; empty without the flag `history`."""
        return unpack_balances(self._query(ClientOperation.GET_ACCOUNT_BALANCES, query))

    def close(self) -> None:
        """End the session; a request under way in another thread fails with `LedgerClosed`."""
        with self._native:
            if self._closed:
                return
            self._closed = True
            # Answers every outstanding packet as shut down, then ends the client's thread.
            bindings.tb_client_deinit(ctypes.byref(self._client))
        _open_ledgers.discard(self)

    def _start(self) -> None:
        # The client logs to the logger "tigerbeetle"; its debug lines would each take the GIL.
        configure_logging(debug=False)
        cluster_id = (ctypes.c_uint8 * 16)(*self._cluster_id.to_bytes(16, "little"))
        status = bindings.tb_client_init(
            ctypes.byref(self._client),
            ctypes.byref(cluster_id),
            self._addresses.encode("ascii"),
            len(self._addresses),
            None,
            self._completion,
        )
        if status != InitStatus.SUCCESS:
            raise _start_error(InitStatus(status), self._addresses)
        _open_ledgers.add(self)

    def _completed(
        self, _context: int, _packet: object, time_ns: int, reply: int, size: int
    ) -> None:
        """Called by the client's thread; the reply is gone when this returns."""
        request = self._outstanding
        if request is not None:
            request.status = int(request.packet.status)
            request.reply = ctypes.string_at(reply, size) if size else b""
            request.time_ns = time_ns
            request.done.set()

    def _create(self, operation: int, rows: bytes) -> list[CreateResult]:
        results: list[CreateResult] = []
        with self._one_at_a_time:
            pending = whole_chains(rows, self._known_batch_max())
            while pending:
                try:
                    reply = self._ask(operation, pending[0])
                except _TooMuch:
                    # The server was restarted with a smaller limit: nothing of this was executed.
                    self._batch_max = len(pending[0]) // ROW_BYTES // 2
                    pending = whole_chains(b"".join(pending), self._batch_max)
                    continue
                results += _results(reply, len(pending.pop(0)) // ROW_BYTES)
        return results

    def _lookup(self, operation: int, ids: Sequence[int]) -> bytes:
        with self._one_at_a_time:
            return b"".join(
                self._ask(operation, _packed_ids(part))
                for part in request_parts(ids, self._known_batch_max())
            )

    def _query(self, operation: int, query: QueryFilter | AccountFilter) -> bytes:
        with self._one_at_a_time:
            limit_max = self._known_batch_max()
            if isinstance(query, AccountFilter):
                return self._ask(operation, pack_account_filter(query, limit_max=limit_max))
            return self._ask(operation, pack_query_filter(query, limit_max=limit_max))

    def _known_batch_max(self) -> int:
        """The limit of creates, which the client does not expose, found by empty lookups.

        Too large a lookup is refused by the client itself. Ids are 16 bytes and rows 128, each
        request ends with a trailer of one element, and a reply holds BATCH_MAX rows at most: with
        the largest lookup L below that, a request body B is 16 × (L + 1) bytes and some, and
        takes B / 128 − 1 rows. (A body that holds all lookups but fewer rows shows by `_TooMuch`.)
        """
        if self._batch_max is None:
            fits, too_many = 0, BATCH_MAX + 1
            ids = BATCH_MAX
            while fits + 1 < too_many:
                if self._takes(ids):
                    fits = ids
                else:
                    too_many = ids
                ids = (fits + too_many) // 2
            rows = (fits + 1) * ID_BYTES // ROW_BYTES - 1
            self._batch_max = BATCH_MAX if fits == BATCH_MAX else max(1, rows)
        return self._batch_max

    def _takes(self, ids: int) -> bool:
        try:
            self._ask(ClientOperation.LOOKUP_ACCOUNTS, bytes(ids * ID_BYTES))
        except _TooMuch:
            return False
        return True

    def _ask(self, operation: int, rows: bytes) -> bytes:
        return _reply(self._answered(operation, rows))

    def _answered(self, operation: int, rows: bytes) -> _Request:
        """One request with its reply, within the deadline.

        A request that nobody waits for any more is still under way: the cluster may yet execute
        it, and another one beside it could overtake it. So it is waited for first.
        """
        limit = self._deadline_seconds
        deadline = None if limit is None else time.monotonic() + limit
        if self._outstanding is not None:
            self._wait(self._outstanding, deadline)
        request = _Request(operation, rows)
        with self._native:
            if self._closed:
                raise LedgerClosed("the ledger is closed")
            self._outstanding = request
            state = bindings.tb_client_submit(
                ctypes.byref(self._client), ctypes.byref(request.packet)
            )
        if state != bindings.ClientStatus.OK:
            self._outstanding = None
            raise LedgerClosed("the ledger is closed")
        self._wait(request, deadline)
        return request

    def _wait(self, request: _Request, deadline: float | None) -> None:
        while not request.done.is_set():
            rest = WAIT_SECONDS if deadline is None else deadline - time.monotonic()
            if rest <= 0:
                raise DependencyUnavailable(
                    f"the ledger at {self._addresses}, cluster {self._cluster_id}, did not answer "
                    f"in {self._deadline_seconds:g} s (a wrong cluster id looks the same)"
                )
            request.done.wait(min(rest, WAIT_SECONDS))
        self._outstanding = None


def _reply(request: _Request) -> bytes:
    status = PacketStatus(request.status)
    if status == PacketStatus.OK:
        return request.reply
    if status == PacketStatus.TOO_MUCH_DATA:
        raise _TooMuch
    if status == PacketStatus.CLIENT_SHUTDOWN:
        raise LedgerClosed("the ledger was closed while a request was under way")
    if status in NOT_REACHED:
        raise DependencyUnavailable(NOT_REACHED[status])
    raise BrokenInvariant(f"the TigerBeetle client refused a request as {status.name.lower()}")


def _results(reply: bytes, count: int) -> list[CreateResult]:
    if len(reply) != count * RESULT_ROW.size:
        raise BrokenInvariant(f"the ledger gave {len(reply)} bytes of results for {count} rows")
    return list(map(_result, RESULT_ROW.iter_unpack(reply)))


def _packed_ids(ids: Sequence[int]) -> bytes:
    return b"".join(number.to_bytes(ID_BYTES, "little") for number in ids)


def _start_error(status: bindings.InitStatus, addresses: str) -> Exception:
    if status in (InitStatus.ADDRESS_INVALID, InitStatus.ADDRESS_LIMIT_EXCEEDED):
        return UsageError(f"the TigerBeetle client does not take the addresses {addresses!r}")
    if status == InitStatus.SYSTEM_RESOURCES:
        return DependencyUnavailable(
            "the TigerBeetle client cannot start: it needs io_uring and locked memory; containers "
            "need a seccomp profile that allows io_uring_setup, _enter and _register"
        )
    return DependencyUnavailable(
        f"the TigerBeetle client cannot start: {status.name.lower().replace('_', ' ')}"
    )
