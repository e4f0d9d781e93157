"""Bearer tokens from a file, one on a line, read again when the file changes.

While the file cannot be read or has no token, nobody is let in. No message shows a token.
"""

from __future__ import annotations

import hmac
import os
import re
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import structlog

from worker.core.errors import UsageError

TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What may follow `Bearer` (RFC 6750, section 2.1)."""

TOKEN_CHARACTERS_MIN: Final = 20
TOKENS_MAX: Final = 100
FILE_BYTES_MAX: Final = 64 * 1024
MAKE_ONE: Final = "(`openssl rand -hex 32` makes one)"

_log = structlog.get_logger(__name__)


class TokensUnreadable(Exception):
    """The file has no tokens to compare with; the message says why."""


class _Content(NamedTuple):
    """The content of the file.

    stamp: changes when it is written or replaced; None when it cannot be read.
    digests: of the tokens, SHA-256.
    problem: why they do not count; empty when they do.
    """

    stamp: tuple[int, ...] | None
    digests: tuple[bytes, ...]
    problem: str


class Tokens:
    """The tokens of a file, for any thread.

    Raises:
        UsageError: there is no file, or no token in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._content = _Content(None, (), "")
        self._content = self._read_again()
        if self._content.problem:
            raise UsageError(f"serve.tokens_file {path} {self._content.problem}")

    def accepts(self, given: str) -> bool:
        """Is this one of the tokens? Takes as long for any answer and any likeness.

        Raises:
            TokensUnreadable: the file cannot be read now.
        """
        digest = digest_of(given)
        found = False
        for known in self.digests:  # never leaves early: that would tell which token it is
            found |= hmac.compare_digest(known, digest)
        return found

    @property
    def digests(self) -> tuple[bytes, ...]:
        """SHA-256 of every token.

        Raises:
            TokensUnreadable: the file cannot be read now.
        """
        if why := self.problem:
            raise TokensUnreadable(why)
        return self._content.digests

    @property
    def problem(self) -> str:
        """Why nobody is let in; empty while the file is well."""
        with self._lock:
            before, now = self._content, self._read_again()
            self._content = now
        if now.problem and now.problem != before.problem:
            _log.error("tokens_unreadable", file=str(self._path), problem=now.problem)
        elif not now.problem and now.stamp != before.stamp:
            _log.info("tokens_read_again", count=len(now.digests))
        return f"the tokens file {now.problem}" if now.problem else ""

    def _read_again(self) -> _Content:
        """A stat for each request: a token that was taken out is refused from then on."""
        try:
            # Through links: a mounted Secret changes by a new link.
            found = os.stat(self._path)  # noqa: PTH116
            stamp = (
                *(found.st_dev, found.st_ino, found.st_size),
                *(found.st_mtime_ns, found.st_ctime_ns),
            )
            return self._content if stamp == self._content.stamp else _read(self._path, stamp)
        except OSError as error:
            return _Content(None, (), f"cannot be read: {error.strerror}")


def digest_of(token: str) -> bytes:
    """SHA-256 of a token, as it is kept."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _read(path: Path, stamp: tuple[int, ...]) -> _Content:
    """`#` begins a comment line."""
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        return _Content(stamp, (), f"is larger than {FILE_BYTES_MAX} bytes")
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    tokens = {number: line for number, line in enumerate(lines, 1) if line and line[0] != "#"}
    for number, token in tokens.items():
        if not TOKEN.fullmatch(token) or len(token) < TOKEN_CHARACTERS_MIN:
            characters = f"at least {TOKEN_CHARACTERS_MIN} of A-Z a-z 0-9 - . _ ~ + /"
            return _Content(stamp, (), f"line {number} is no token: {characters} {MAKE_ONE}")
    if not tokens:
        return _Content(stamp, (), f"holds no token: put one on a line {MAKE_ONE}")
    if len(tokens) > TOKENS_MAX:
        return _Content(stamp, (), f"holds more than {TOKENS_MAX} tokens")
    return _Content(stamp, tuple(map(digest_of, tokens.values())), "")
