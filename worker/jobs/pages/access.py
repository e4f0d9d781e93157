"""Who may see the pages: a session or a token, and on the loopback without tokens this machine."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from worker.jobs.pages.sessions import Sessions
from worker.jobs.serve.tokens import Tokens

COOKIE: Final = "ledger_worker_session"
BEARER: Final = "bearer "


class Access:
    """Lets people in. tokens: None for a server that only this machine reaches.

    Raises:
        TokensUnreadable: from every method: the tokens file cannot be read now.
    """

    def __init__(self, tokens: Tokens | None) -> None:
        self.tokens = tokens
        self.sessions = Sessions(tokens) if tokens else None

    def allows(self, request: Request) -> bool:
        """May this request see a page?"""
        if self.tokens is None or self.sessions is None:
            return True
        given = request.headers.get("authorization", "")
        if given[: len(BEARER)].lower() == BEARER:
            return self.tokens.accepts(given[len(BEARER) :].strip())
        cookie = request.cookies.get(COOKIE)
        return cookie is not None and self.sessions.knows(cookie)


def is_rebound(request: Request) -> bool:
    """Was a server that asks nobody for a token called by a foreign name?

    A page from elsewhere can point a name of its own at this machine (DNS rebinding), and its
    scripts would then read what we answer.
    """
    name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return False
    try:
        return not ip_address(name).is_loopback
    except ValueError:
        return True


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Did another site's page send this form? Browsers say so."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def is_secure(request: Request) -> bool:
    """Does the browser speak TLS, with us or with the proxy before us?"""
    forwarded = request.headers.get("x-forwarded-proto", "")
    return request.url.scheme == "https" or forwarded.split(",")[0].strip().lower() == "https"
