"""Log-in with a token of the tokens file, and log-out.

A form from another site is refused, though it could do no harm but log somebody in or out; and who
tries wrong tokens has to wait.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from worker.jobs.pages.access import COOKIE, Access, is_from_elsewhere, is_secure
from worker.jobs.pages.attempts import LoginAttempts
from worker.jobs.pages.responses import page, see_other
from worker.jobs.pages.sessions import SESSION_SECONDS, Sessions
from worker.jobs.serve.tokens import TokensUnreadable

FIELDS_MAX: Final = 4
_OURS: Final = re.compile(r"/(?![/\\])[!-~]*")
r"""An address on this server: a browser takes `//` and `/\` at the beginning for another host."""

FOREIGN: Final = "the form was sent from another site's page; log in here"
WRONG: Final = "this token is not in the tokens file"


class Login:
    """The form, and what it does."""

    def __init__(self, access: Access, attempts: LoginAttempts | None = None) -> None:
        self._access = access
        self._attempts = attempts or LoginAttempts()

    async def form(self, request: Request) -> Response:
        """The form; who needs none goes to the search."""
        if self._access.sessions is None:
            return see_other("/")
        return self._form(request, "", onward=request.query_params.get("next", ""))

    async def enter(self, request: Request) -> Response:
        """Begin a session, if the token is right."""
        sessions = self._access.sessions
        if sessions is None:
            return see_other("/")
        fields = await _fields(request)
        onward = fields.get("next", "")
        if is_from_elsewhere(request.headers):
            return self._form(request, FOREIGN, onward=onward, status=403)
        address = request.client.host if request.client else ""
        if seconds := self._attempts.wait_seconds(address):
            wait = f"too many wrong tokens: wait {seconds} s"
            refused = self._form(request, wait, onward=onward, status=429)
            refused.headers["Retry-After"] = str(seconds)
            return refused
        try:
            cookie = sessions.begin(fields.get("token", "").strip())
        except TokensUnreadable as unreadable:
            return self._form(request, str(unreadable), onward=onward, status=503)
        if cookie is None:
            self._attempts.failed(address)
            return self._form(request, WRONG, onward=onward, status=401)
        return self._begin(request, cookie, onward)

    async def leave(self, request: Request) -> Response:
        """End the session."""
        sessions = self._access.sessions
        if sessions is None or is_from_elsewhere(request.headers):
            return see_other("/")
        _end(sessions, request.cookies.get(COOKIE, ""))
        answer = see_other("/login")
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=is_secure(request))
        return answer

    @staticmethod
    def _begin(request: Request, cookie: str, onward: str) -> Response:
        answer = see_other(onward if _OURS.fullmatch(onward) else "/")
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=is_secure(request),
        )
        return answer

    @staticmethod
    def _form(request: Request, wrong: str, *, onward: str, status: int = 200) -> Response:
        return page(
            request,
            "login.html",
            status=status,
            person="",
            wrong=wrong,
            next=onward if _OURS.fullmatch(onward) else "",
            hours=SESSION_SECONDS // 3600,
        )


def _end(sessions: Sessions, cookie: str) -> None:
    try:
        sessions.end(cookie)
    except TokensUnreadable:
        return  # nobody is let in anyway


async def _fields(request: Request) -> dict[str, str]:
    """The form's fields; the middleware has refused what is too long, and read what is chunked."""
    if "content-length" not in request.headers:
        return {}
    body = (await request.body()).decode("utf-8", "replace")
    try:
        found = parse_qs(body, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in found.items()}
