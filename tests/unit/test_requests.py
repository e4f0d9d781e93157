"""Requests to the ledger without one: how rows are cut, and which answers are believed."""

from __future__ import annotations

import pytest

from worker.core.errors import BrokenInvariant, DependencyUnavailable
from worker.core.wire import ROW_BYTES, Transfer, TransferFlags, pack_transfer
from worker.ledger.request_split import request_parts, whole_chains

pytest.importorskip("tigerbeetle", reason="no TigerBeetle client")
from worker.ledger.tigerbeetle import (
    TigerBeetleLedger,
    _results,
    _TooMuch,
)

NOBODY = "127.0.0.1:9"
ASKED_MAX = 50
"""More than any of these takes: one that never ends is a failure and no pause."""

LIMIT = 8
RESULT_BYTES = 16


def rows(*chains: int) -> bytes:
    """Chains of so many legs."""
    flags = [int(TransferFlags.LINKED) * (leg < legs - 1) for legs in chains for leg in range(legs)]
    return b"".join(
        pack_transfer(Transfer(id=number, debit_account_id=1, credit_account_id=2, flags=each))
        for number, each in enumerate(flags, start=1)
    )


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        ([], []),
        ([1] * (LIMIT - 1), [LIMIT - 1]),
        ([1] * LIMIT, [LIMIT]),
        ([1] * (LIMIT + 1), [LIMIT, 1]),
        ([1] * (2 * LIMIT), [LIMIT, LIMIT]),
        ([LIMIT], [LIMIT]),
        ([LIMIT, LIMIT], [LIMIT, LIMIT]),
        ([1, LIMIT], [1, LIMIT]),
        ([4, 4, 1], [8, 1]),
        ([4, 5], [4, 5]),
    ],
)
def test_requests_are_full_and_chains_whole(chains: list[int], expected: list[int]) -> None:
    """At the limit in one request, one beyond it in two, and nothing lost or out of order."""
    whole = rows(*chains)
    parts = whole_chains(whole, LIMIT)
    assert [len(part) // ROW_BYTES for part in parts] == expected
    assert b"".join(parts) == whole


def test_a_chain_beyond_the_limit_is_refused() -> None:
    """Before anything is sent."""
    for chains in ([LIMIT + 1], [1, LIMIT + 1], [LIMIT + 1, 1]):
        with pytest.raises(BrokenInvariant):
            whole_chains(rows(*chains), LIMIT)


@pytest.mark.parametrize("count", [0, 1, LIMIT, LIMIT + 1, 2 * LIMIT])
def test_ids_are_asked_for_in_full_requests(count: int) -> None:
    """Each once, in order, and no request more than is needed."""
    parts = list(request_parts(range(count), LIMIT))
    assert [number for part in parts for number in part] == list(range(count))
    assert len(parts) == -(-count // LIMIT)


def test_an_answer_has_a_result_for_each_row() -> None:
    """Not one less and not one more."""
    one = bytes(RESULT_BYTES)
    for answered in (0, 1, 3):
        with pytest.raises(BrokenInvariant):
            _results(one * answered, 2)


class Shrunk(TigerBeetleLedger):
    """A ledger whose server was restarted with a smaller limit."""

    def __init__(self, *, knows: int, takes: int) -> None:
        super().__init__(addresses=NOBODY, cluster_id=0, deadline_seconds=0.05)
        self._batch_max = knows
        self.takes = takes
        self.sent: list[bytes] = []
        self.asked = 0

    def _ask(self, operation: int, rows: bytes) -> bytes:
        del operation
        self.asked += 1
        assert self.asked <= ASKED_MAX, "the limit is not halved"
        if len(rows) // ROW_BYTES > self.takes:
            raise _TooMuch
        self.sent.append(rows)
        return bytes(len(rows) // ROW_BYTES * RESULT_BYTES)


@pytest.mark.parametrize("takes", [8, 7, 4, 3, 2])
def test_a_smaller_limit_is_found_and_nothing_is_lost(takes: int) -> None:
    """Halved until it fits; each row is sent once, in order, and the new limit is kept."""
    ledger = Shrunk(knows=8, takes=takes)
    whole = rows(*[1] * 8, 2, 2, *[1] * 8)
    try:
        assert len(ledger.create_transfers(whole)) == 20
    finally:
        ledger.close()
    assert b"".join(ledger.sent) == whole
    assert ledger._batch_max == {8: 8, 7: 4, 4: 4, 3: 2, 2: 2}[takes]


def test_a_late_request_is_waited_for_and_not_overtaken() -> None:
    """What nobody waits for any more may yet be executed: the next one is not sent before."""
    ledger = TigerBeetleLedger(addresses=NOBODY, cluster_id=0, deadline_seconds=0.05)
    ledger._batch_max = LIMIT
    try:
        with pytest.raises(DependencyUnavailable):
            ledger.create_transfers(rows(1))
        late = ledger._outstanding
        assert late is not None
        with pytest.raises(DependencyUnavailable):
            ledger.create_transfers(rows(1))
        assert ledger._outstanding is late
    finally:
        ledger.close()
