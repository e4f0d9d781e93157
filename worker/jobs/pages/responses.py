"""Answers of the pages: HTML that runs nothing, loads nothing from elsewhere and is not kept."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from worker.jobs.pages.access import COOKIE
from worker.jobs.pages.render import link, render

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

STYLE: Final = (Path(__file__).parent / "style.css").read_bytes()
STYLE_PATH: Final = "/style.css"
STYLE_LINK: Final = link(STYLE_PATH, v=blake2b(STYLE, digest_size=6).hexdigest())
"""Another address for each version, so that browsers may keep it."""

Person = Literal["session", "anyone", ""]
"""Who sees a page: somebody who logged in, anybody, or somebody who is not let in yet."""


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    person: Person | None = None,
    **shown: Any,  # noqa: ANN401 - whatever the template shows
) -> HTMLResponse:
    """A page. person: where it is not told by the cookie."""
    if person is None:
        person = "session" if COOKIE in request.cookies else "anyone"
    html = render(template, person=person, here=request.url.path, style=STYLE_LINK, **shown)
    return HTMLResponse(html, status, HEADERS)


def see_other(target: str) -> RedirectResponse:
    """Go and get that one."""
    return RedirectResponse(target, 303, HEADERS)


async def style(request: Request) -> Response:
    """The style of all pages."""
    del request
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(STYLE, media_type="text/css", headers=HEADERS | kept)
