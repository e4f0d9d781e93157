"""Files as plain bytes, decompressed by their first bytes. A truncated file is an error."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from worker.core.errors import named_file
from worker.core.optional import optional_packages

if TYPE_CHECKING:
    from zstandard import ZstdDecompressionObj

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
CHUNK: Final = 1 << 16


class ArchiveCutShort(Exception):
    """A compressed stream ended in its middle."""


UNREADABLE: Final = (OSError, EOFError, zlib.error, ArchiveCutShort)
"""What reading a damaged file raises."""


def open_plain(path: Path) -> io.BufferedReader:
    """The file's content, decompressed as it is read.

    Raises:
        UsageError: it cannot be opened, or zstd is needed and not installed.
    """
    with named_file(path, "read"):
        raw = path.open("rb")
    first = raw.peek(4)[:4]
    if first.startswith(GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb"), CHUNK)
    if first == ZSTD:
        return io.BufferedReader(_Zstd(raw, path), CHUNK)
    return raw


class _Zstd(io.RawIOBase):
    """One or more zstd frames; `zstandard`'s own reader takes a cut frame for the end."""

    def __init__(self, raw: BinaryIO, path: Path) -> None:
        self._raw = raw
        self._path = path
        self._frame = self._new_frame()
        self._fresh = True
        self._left = b""

    def _new_frame(self) -> ZstdDecompressionObj:
        with optional_packages(str(self._path), extra="reconcile"):
            import zstandard  # noqa: PLC0415 - optional
        self._broken = zstandard.ZstdError
        return zstandard.ZstdDecompressor().decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type] # io's own protocol
        while not self._left:
            if not self._fill():
                return 0
        part, self._left = self._left[: len(view)], self._left[len(view) :]
        view[: len(part)] = part
        return len(part)

    def _fill(self) -> bool:
        """Decompress some more; False at the end of the file."""
        chunk = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame, self._fresh = self._new_frame(), True
        chunk = chunk or self._raw.read(CHUNK)
        if not chunk:
            if not self._fresh:
                raise ArchiveCutShort
            return False
        self._fresh = False
        try:
            self._left = self._frame.decompress(chunk)
        except self._broken as error:
            raise ArchiveCutShort from error
        return True

    def close(self) -> None:
        self._raw.close()
        super().close()
