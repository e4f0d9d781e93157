"""The pages of `serve`: their addresses, who may see them, and what each shows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol

from fastapi import APIRouter, Request, Response

from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.iso_times import iso_millisecond, iso_time
from worker.core.rulebook import Rulebook
from worker.jobs.pages.access import Access, is_rebound
from worker.jobs.pages.login import Login
from worker.jobs.pages.reading import AccountShown
from worker.jobs.pages.render import link
from worker.jobs.pages.responses import STYLE_PATH, Person, page, see_other, style
from worker.jobs.pages.slots import ReadSlots
from worker.jobs.serve.answers import RETRY_SECONDS
from worker.jobs.serve.tokens import TokensUnreadable
from worker.jobs.times import nanoseconds, since_ms

TEXT_MAX: Final = 600
"""Characters of anything that a page is asked for."""

REBOUND: Final = (
    "this server asks for no token, so it answers only as localhost or 127.0.0.1; name a"
    " serve.tokens_file to reach it by another name"
)
_REBOUND: Final = (403, "Not by this name")
_CLOSED: Final = (503, "Nobody is let in now")
_WRONG: Final = (400, "That cannot be shown")
_LATER: Final = (503, "Not now")
_ACCOUNT: Final = re.compile(r"(\w+)(?:\[(.+)\])?", re.ASCII | re.DOTALL)
_NANOSECONDS: Final = re.compile(r"[0-9]{16,19}")
"""A moment in a link of ours, which must be exact; people write dates."""

Shown = Callable[[Request], Awaitable[Response]]


class Reads(Protocol):
    """What the pages show; `PageReads` reads it from ledger and broker."""

    @property
    def rulebook(self) -> Rulebook:
        """The rulebook in force."""
        ...

    def trace(self, text: str, *, since_ms: int, scan: bool) -> dict[str, Any]:
        """What became of an id."""
        ...

    def status(self, *, since_ms: int) -> dict[str, Any]:
        """How the group stands."""
        ...

    def unsettled(self, *, since_ms: int) -> dict[str, Any]:
        """What is open on `stripe_unsettled`."""
        ...

    def accounts(self) -> list[dict[str, Any]]:
        """Every declared account."""
        ...

    def account(
        self, name: str, key: str, *, currency: str, start_ns: int, end_ns: int
    ) -> AccountShown:
        """One account and a part of its statement."""
        ...


def pages_router(reads: Reads, access: Access) -> APIRouter:
    """Every page, as routes of the server."""
    router = APIRouter(include_in_schema=False)
    for path, show in PageRoutes(reads).routes.items():
        router.add_api_route(path, _guarded(show, access), name=path)
    router.add_api_route(STYLE_PATH, style)
    login = Login(access)
    router.add_api_route("/login", login.form)
    router.add_api_route("/login", login.enter, methods=["POST"])
    router.add_api_route("/logout", login.leave, methods=["POST"])
    return router


def _guarded(show: Shown, access: Access) -> Shown:
    """A page for those who may see it; what cannot be read says so on a page."""

    async def guarded(request: Request) -> Response:
        try:
            if access.tokens is None and is_rebound(request):
                return _refused(request, _REBOUND, REBOUND, person="")
            if not access.allows(request):
                wanted = f"{request.url.path}?{request.url.query}".removesuffix("?")
                return see_other(link("/login", next="" if wanted == "/" else wanted))
            return await show(request)
        except TokensUnreadable as unreadable:
            return _refused(request, _CLOSED, str(unreadable), person="")
        except UsageError as error:
            return _refused(request, _WRONG, str(error))
        except DependencyUnavailable as error:
            return _refused(request, _LATER, str(error))

    return guarded


def _refused(
    request: Request, why: tuple[int, str], detail: str, *, person: Person | None = None
) -> Response:
    status, heading = why
    answer = page(
        request,
        "refused.html",
        status=status,
        person=person,
        heading=heading,
        detail=detail.rstrip("."),
        asked=request.query_params.get("id", "")[:TEXT_MAX],
    )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


class PageRoutes:
    """What each page shows."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._slots = ReadSlots()
        self.routes: dict[str, Shown] = {
            "/": self.search,
            "/trace": self.trace,
            "/accounts": self.accounts,
            "/account": self.account,
            "/open": self.unsettled,
            "/status": self.status,
        }

    async def search(self, request: Request) -> Response:
        """A search box, and what it takes."""
        return page(request, "search.html")

    async def trace(self, request: Request) -> Response:
        """What became of an id; for an account's name its page."""
        text = _text(request, "id")
        if not text:
            return see_other("/")
        named = _ACCOUNT.fullmatch(text)
        if named and named[1] in self._reads.rulebook.accounts:
            return see_other(link("/account", name=named[1], key=named[2] or ""))
        since, scan = _text(request, "since"), bool(_text(request, "scan"))
        start_ms = since_ms(since, option="the time")
        read = partial(self._reads.trace, text, since_ms=start_ms, scan=scan)
        return page(
            request,
            "trace.html",
            found=await self._slots.run(read),
            since_given=since,
            since=iso_millisecond(start_ms),
            scanned=scan,
        )

    async def accounts(self, request: Request) -> Response:
        """Every account of the rulebook; the balances of those that are single."""
        return page(request, "accounts.html", accounts=await self._slots.run(self._reads.accounts))

    async def account(self, request: Request) -> Response:
        """An account's balances, and a part of its statement."""
        name, key = _text(request, "name"), _text(request, "key")
        currency = _text(request, "currency")
        start, end = _text(request, "from"), _text(request, "to")
        read = partial(
            self._reads.account,
            name,
            key,
            currency=currency,
            start_ns=_moment(start),
            end_ns=_moment(end),
        )
        shown = await self._slots.run(read)
        here = {"name": name, "key": key, "currency": shown.currency}
        return page(
            request,
            "account.html",
            name=name,
            key=key,
            title=f"{name}[{key}]" if key else name,
            currency=shown.currency,
            shown=shown,
            start=_written(start),
            end=_written(end),
            earlier=_turned(here, "to", shown.earlier_before_ns),
            later=_turned(here, "from", shown.later_from_ns),
        )

    async def unsettled(self, request: Request) -> Response:
        """What one of Stripe's sides told and the other did not."""
        since = _text(request, "since")
        start_ms = since_ms(since, option="the time")
        found = await self._slots.run(partial(self._reads.unsettled, since_ms=start_ms))
        shown_since = iso_millisecond(start_ms)
        return page(request, "open.html", found=found, since_given=since, since=shown_since)

    async def status(self, request: Request) -> Response:
        """How the worker's group stands."""
        since = _text(request, "since")
        read = partial(self._reads.status, since_ms=since_ms(since, option="the time"))
        return page(request, "status.html", found=await self._slots.run(read), since_given=since)


def _turned(here: dict[str, str], field: str, moment_ns: int) -> str:
    """The address of the page before or after this one; empty where there is none."""
    return link("/account", **here, **{field: str(moment_ns)}) if moment_ns else ""


def _text(request: Request, name: str) -> str:
    """One field of the query, without spaces around it.

    Raises:
        UsageError: it is too long.
    """
    text = request.query_params.get(name, "").strip()
    if len(text) > TEXT_MAX:
        raise UsageError(f"{name} has more than {TEXT_MAX} characters")
    return text


def _moment(text: str) -> int:
    """A moment of the query in nanoseconds since 1970; 0 where there is none."""
    if _NANOSECONDS.fullmatch(text):
        return int(text)
    return nanoseconds(text, option="the time") if text else 0


def _written(text: str) -> str:
    """A moment of the query as people write it."""
    return iso_time(int(text)) if _NANOSECONDS.fullmatch(text) else text
