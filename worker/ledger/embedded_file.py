"""The file of an embedded ledger: an append-only log of requests, each with length and checksum.

A request is synced before `append` returns; later damage is reported. A record that a crash tore
off at the end was never answered: it is cut off, with a warning. One process at a time, by a lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, NamedTuple
from zlib import crc32

import structlog

from worker.core.errors import DependencyUnavailable, LedgerClosed, UsageError

FILE_HEADER: Final = b"ledger-worker embedded ledger 1\n"
MARK: Final = b"\xabREQ"
HEADER: Final = Struct("<4sIIBQ")
"""mark, checksum of the rest of the record, bytes of rows, operation, batch timestamp."""

CHECKED_FROM: Final = 8
"""Where in the header the checksummed part begins."""

log = structlog.get_logger(__name__)


class RequestKind(IntEnum):
    """What a request asks; the numbers are in files, never change them."""

    CREATE_ACCOUNTS = 1
    CREATE_TRANSFERS = 2


class LoggedRequest(NamedTuple):
    """One request as it was answered; timestamp: the batch's, in nanoseconds."""

    operation: RequestKind
    timestamp: int
    rows: bytes


class RequestLog:
    """An open, locked log. Read it once, to its end, before the first `append`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = len(FILE_HEADER)
        self._file = _open_locked(path)
        try:
            self._check_header()
        except BaseException:
            self._file.close()
            raise

    def read(self) -> Iterator[LoggedRequest]:
        """Every request, oldest first; a torn tail is cut off.

        Raises `UsageError` that names file and offset if a record before the last is damaged.
        """
        self._file.seek(self._end)
        size = os.fstat(self._file.fileno()).st_size
        while header := self._file.read(HEADER.size):
            request = self._parse(header, size)
            if request is None:
                self._cut_tail()
                return
            yield request
            self._end = self._file.tell()

    def append(self, operation: RequestKind, timestamp: int, rows: bytes) -> None:
        """Write one request and sync it; after a failure the file takes no more."""
        checked = HEADER.pack(b"", 0, len(rows), operation, timestamp)[CHECKED_FROM:] + rows
        record = MARK + crc32(checked).to_bytes(4, "little") + checked
        if self._file.closed:
            raise LedgerClosed(f"the embedded ledger {self._path} is closed")
        try:
            self._file.seek(self._end)
            self._write(record)
        except OSError as error:
            self._give_up()
            raise DependencyUnavailable(
                f"cannot write the embedded ledger {self._path}: {error.strerror}"
            ) from error
        self._end += len(record)

    def close(self) -> None:
        """Close the file, which releases the lock."""
        self._file.close()

    def _check_header(self) -> None:
        found = self._file.read(len(FILE_HEADER))
        if found == FILE_HEADER:
            return
        if not FILE_HEADER.startswith(found):
            raise UsageError(f"{self._path} is not an embedded ledger")
        self._file.seek(0)
        self._write(FILE_HEADER)
        _sync_directory(self._path)

    def _cut_tail(self) -> None:
        """What follows the last whole record: torn off, unless a whole record comes after it."""
        self._file.seek(self._end)
        tail = self._file.read()
        if _holds_a_record(tail):
            raise UsageError(
                f"the embedded ledger {self._path} is damaged at offset {self._end}: "
                "whole records follow it; restore the file from a copy"
            )
        log.warning(
            "embedded_ledger.torn_tail",
            file=str(self._path),
            offset=self._end,
            bytes_cut=len(tail),
        )
        self._file.truncate(self._end)
        os.fsync(self._file.fileno())

    def _parse(self, header: bytes, file_size: int) -> LoggedRequest | None:
        """The record that begins with `header`, or None if it is not whole."""
        if len(header) < HEADER.size:
            return None
        mark, checksum, size, operation, timestamp = HEADER.unpack(header)
        if mark != MARK or size > file_size - self._file.tell():
            return None
        rows = self._file.read(size)
        if crc32(header[CHECKED_FROM:] + rows) != checksum:
            return None
        if operation not in set(RequestKind):
            raise UsageError(f"a newer ledger-worker wrote the embedded ledger {self._path}")
        return LoggedRequest(RequestKind(operation), timestamp, rows)

    def _write(self, record: bytes) -> None:
        """Write all of it, which takes more than one call when the disk is nearly full; sync."""
        rest = memoryview(record)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())

    def _give_up(self) -> None:
        """Cut what may be half written, best effort: if that fails, the next open does it."""
        try:
            os.ftruncate(self._file.fileno(), self._end)
        except OSError:
            log.warning("embedded_ledger.not_cut", file=str(self._path), offset=self._end)
        self._file.close()


def _open_locked(path: Path) -> BinaryIO:
    # POSIX only, as is this kind of ledger; the one in memory needs no lock.
    import fcntl  # noqa: PLC0415

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"cannot open the embedded ledger {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(f"the embedded ledger {path} is open in another process") from error
    return os.fdopen(descriptor, "r+b", buffering=0)


def _sync_directory(path: Path) -> None:
    """A new file survives a power cut only when its directory is synced, too."""
    descriptor = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds_a_record(tail: bytes) -> bool:
    start = tail.find(MARK)
    while start >= 0:
        header = tail[start : start + HEADER.size]
        if len(header) == HEADER.size:
            _, checksum, size, _, _ = HEADER.unpack(header)
            checked = tail[start + CHECKED_FROM : start + HEADER.size + size]
            if len(checked) == HEADER.size - CHECKED_FROM + size and crc32(checked) == checksum:
                return True
        start = tail.find(MARK, start + 1)
    return False
