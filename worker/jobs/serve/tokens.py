"""Bearer tokens from a file, one on a line, read again when the file changes.

The invariant: while the file cannot be read, or holds no token, nobody is let in; what was in it
before does not count. No message, log line or exception shows a token. Imports the ports and
structlog only.
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
"""What can stand after `Bearer` (RFC 6750, section 2.1)."""

TOKEN_CHARACTERS_MIN: Final = 20
TOKENS_MAX: Final = 100
FILE_BYTES_MAX: Final = 64 * 1024

_log = structlog.get_logger(__name__)


class TokensUnreadable(Exception):
    """The file has no tokens to compare with; the message says why."""


class _Stamp(NamedTuple):
    """What changes when a file is written or replaced: a mounted Secret is, by a new link."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class _Content(NamedTuple):
    """What a file held. problem: why its digests do not count; empty when they do."""

    stamp: _Stamp | None
    digests: tuple[bytes, ...]
    problem: str


class Tokens:
    """The tokens of a file. May be asked from any thread.

    Raises:
        UsageError: there is no file, or no token in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = Lock()
        self._found = _Content(None, (), "")
        self._found = self._read_again()
        if self._found.problem:
            raise UsageError(f"serve.tokens_file {path} {self._found.problem}")

    def accepts(self, given: str) -> bool:
        """Is this one of the tokens? Takes as long for any answer and any likeness.

        Raises:
            TokensUnreadable: the file cannot be read now.
        """
        digests = self._current()
        digest = sha256(given.encode("utf-8", "surrogatepass")).digest()
        found = False
        for known in digests:  # never leaves early: the place of a token is no secret's business
            found |= hmac.compare_digest(known, digest)
        return found

    @property
    def problem(self) -> str:
        """Why nobody is let in; empty while the file is well."""
        try:
            self._current()
        except TokensUnreadable as why:
            return str(why)
        return ""

    def _current(self) -> tuple[bytes, ...]:
        with self._turn:
            before, self._found = self._found, self._read_again()
            _log_change(before, self._found, self._path)
            if self._found.problem:
                raise TokensUnreadable(f"the tokens file {self._found.problem}")
            return self._found.digests

    def _read_again(self) -> _Content:
        """A stat for each request: a token that was taken out is refused from then on."""
        try:
            stamp = _stamp(self._path)
            if stamp == self._found.stamp:
                return self._found
            return _Content(stamp, *_read(self._path))
        except OSError as error:
            return _Content(None, (), f"cannot be read: {error.strerror}")


def _log_change(before: _Content, after: _Content, path: Path) -> None:
    if after.problem and after.problem != before.problem:
        _log.error("tokens_unreadable", file=str(path), problem=after.problem)
    elif not after.problem and after.stamp != before.stamp:
        _log.info("tokens_read_again", count=len(after.digests))


def _stamp(path: Path) -> _Stamp:
    found = os.stat(path)  # noqa: PTH116 - through links, to the file that is read
    return _Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read(path: Path) -> tuple[tuple[bytes, ...], str]:
    """The tokens' digests, or what is wrong with the file. `#` begins a comment line."""
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        return (), f"is larger than {FILE_BYTES_MAX} bytes"
    lines = enumerate(content.decode("utf-8", "replace").splitlines(), start=1)
    tokens = [(number, line.strip()) for number, line in lines]
    tokens = [(number, one) for number, one in tokens if one and not one.startswith("#")]
    for number, token in tokens:
        if not TOKEN.fullmatch(token) or len(token) < TOKEN_CHARACTERS_MIN:
            return (), (
                f"line {number} is no token: at least {TOKEN_CHARACTERS_MIN} of A-Z a-z 0-9 - . _ ~"
                " + / (`openssl rand -hex 32` makes one)"
            )
    if not tokens:
        return (), "holds no token: put one on a line (`openssl rand -hex 32` makes one)"
    if len(tokens) > TOKENS_MAX:
        return (), f"holds more than {TOKENS_MAX} tokens"
    return tuple(sha256(token.encode()).digest() for _, token in tokens), ""
