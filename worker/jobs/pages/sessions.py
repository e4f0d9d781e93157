"""Sessions of people at the pages: a signed cookie, good for hours and for reading only.

The cookie is signed with a key that is made from the token by which its owner came in. So nothing
is stored, every server of the same tokens file knows it, and it ends with the token.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from worker.jobs.serve.tokens import Tokens, digest_of

SESSION_SECONDS: Final = 8 * 3600
ENDED_MAX: Final = 10_000
"""Sessions that were ended here and would still be good; the one that ends first is forgotten."""

_COOKIE: Final = re.compile(r"([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})")
_PURPOSE: Final = b"ledger-worker: session of the pages"


class Sessions:
    """Makes, knows and ends sessions; for any thread. now: seconds since 1970."""

    def __init__(self, tokens: Tokens, *, now: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._now = now
        self._lock = Lock()
        self._ended: dict[str, int] = {}

    def begin(self, token: str) -> str | None:
        """The cookie of a new session; None where the token is not in the file.

        Raises:
            TokensUnreadable: the file cannot be read now.
        """
        if not self._tokens.accepts(token):
            return None
        about = f"{int(self._now()) + SESSION_SECONDS}.{secrets.token_hex(16)}"
        return f"{about}.{_signature(digest_of(token), about)}"

    def knows(self, cookie: str) -> bool:
        """Is this the cookie of a session that goes on?

        Raises:
            TokensUnreadable: the file cannot be read now.
        """
        parts = _COOKIE.fullmatch(cookie)
        if parts is None or not self._now() < int(parts[1]) <= self._now() + SESSION_SECONDS:
            return False
        about = f"{parts[1]}.{parts[2]}"
        found = False
        for digest in self._tokens.digests:  # never leaves early, as with tokens
            found |= hmac.compare_digest(_signature(digest, about), parts[3])
        with self._lock:
            return found and parts[2] not in self._ended

    def end(self, cookie: str) -> None:
        """Refuse this session from now on, on this server."""
        parts = _COOKIE.fullmatch(cookie)
        if parts is None or not self.knows(cookie):
            return
        now = self._now()
        with self._lock:
            self._ended = {name: until for name, until in self._ended.items() if until > now}
            self._ended[parts[2]] = int(parts[1])
            if len(self._ended) > ENDED_MAX:
                del self._ended[min(self._ended, key=self._ended.__getitem__)]


def _signature(digest: bytes, about: str) -> str:
    key = hmac.digest(digest, _PURPOSE, "sha256")
    return hmac.digest(key, about.encode(), "sha256").hex()
