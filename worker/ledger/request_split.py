"""Cuts many rows or ids into requests that the ledger takes, never through a linked chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from worker.core.errors import BrokenInvariant
from worker.core.wire import ROW_BYTES, TransferFlags

FLAGS_AT: Final = 118
"""Where a row's flags begin, little-endian; `linked` is in the first byte, for both kinds."""

LINKED: Final = int(TransferFlags.LINKED)


def whole_chains(rows: bytes, batch_max: int) -> list[bytes]:
    """The rows in requests of at most `batch_max` rows each, cut between chains.

    Raises `BrokenInvariant` for a chain longer than `batch_max`, before anything is sent: who
    makes chains has to check.
    """
    if len(rows) % ROW_BYTES:
        raise BrokenInvariant(f"{len(rows)} bytes are not a whole number of {ROW_BYTES}-byte rows")
    size_max = batch_max * ROW_BYTES
    requests = []
    start = 0
    while len(rows) - start > size_max:
        end = _last_cut(rows, start, start + size_max)
        requests.append(rows[start:end])
        start = end
    if start < len(rows):
        requests.append(rows[start:] if start else rows)
    return requests


def _last_cut(rows: bytes, start: int, end: int) -> int:
    """The last index up to `end` where a chain ends."""
    while end > start and rows[end - ROW_BYTES + FLAGS_AT] & LINKED:
        end -= ROW_BYTES
    if end == start:
        raise BrokenInvariant(
            f"the chain at row {start // ROW_BYTES} has more legs than one request takes"
        )
    return end


def request_parts(ids: Sequence[int], batch_max: int) -> Iterator[Sequence[int]]:
    """The ids in requests of at most `batch_max` each."""
    for start in range(0, len(ids), batch_max):
        yield ids[start : start + batch_max]
