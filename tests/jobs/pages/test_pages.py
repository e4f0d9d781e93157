"""The pages over HTTP: what they show, whom they let in, and that they run nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.jobs.pages.shown import WrittenReads
from tests.jobs.serve.money import Money
from tests.jobs.serve.served import Reply, Served, serve
from worker.core.errors import DependencyUnavailable, UsageError
from worker.jobs.pages.access import COOKIE, Access
from worker.jobs.pages.attempts import FAILURES_MAX
from worker.jobs.pages.routes import pages_router
from worker.jobs.serve.tokens import Tokens

TOKEN = "0123456789abcdef" * 2
PATHS = ["/", "/trace?id=evt_1", "/accounts", "/account?name=bank", "/open", "/status"]
TURNS = ("prev", "next")
HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}&amp;\x1b[2J\u202etxt\ud800"
)


@contextmanager
def site(reads: WrittenReads, money: Money, tokens: Tokens | None = None) -> Iterator[Served]:
    pages = pages_router(reads, Access(tokens))
    with serve(money.ledger, tokens=tokens, pages=pages) as served:
        yield served


@pytest.fixture
def money() -> Money:
    return Money()


@pytest.fixture
def reads(money: Money) -> WrittenReads:
    return WrittenReads(money)


@pytest.fixture
def open_site(reads: WrittenReads, money: Money) -> Iterator[Served]:
    with site(reads, money) as served:
        yield served


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def guarded(reads: WrittenReads, money: Money, tokens_file: Path) -> Iterator[Served]:
    with site(reads, money, Tokens(tokens_file)) as served:
        yield served


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and all of its text."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(reply.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute is given twice: {attrs}"
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("path", PATHS)
def test_pages_run_nothing_and_load_nothing_from_elsewhere(path: str, open_site: Served) -> None:
    """Headers forbid it, and there is nothing to forbid: no script, no style of a tag's own."""
    reply = open_site.get(path)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    for tag, attributes in Tags(reply).tags:
        assert tag not in {"script", "style", "iframe", "object", "embed", "base", "img"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            assert (attributes.get(name) or "/").startswith(("/", "#"))
            assert not (attributes.get(name) or "").startswith("//")


def test_the_style_is_ours_and_may_be_kept(open_site: Served) -> None:
    """Its address changes with its content."""
    links = [tag for name, tag in Tags(open_site.get("/")).tags if name == "link"]
    reply = open_site.get(links[0]["href"] or "")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in reply.headers["cache-control"]


@pytest.mark.parametrize("path", ["/trace?id=x", "/open", "/status"])
def test_hostile_texts_are_shown_not_run(path: str, money: Money) -> None:
    """Tags, quotes, control characters, turned writing: text, wherever a page has a text."""
    with site(WrittenReads(money, HOSTILE), money) as served:
        reply = served.get(path)
    assert reply.status == 200
    tags = Tags(reply)
    assert not {tag for tag, _ in tags.tags} & {"script", "img"}
    assert not [tag for tag in tags.tags if any(name.startswith("on") for name in tag[1])]
    shown = r"<script>alert(1)</script>" + "\"'><img src=x onerror=alert(1)>{{ 7*7 }}&amp;"
    assert shown + r"\x1b[2J\u202etxt\ud800" in tags.text
    assert not {"\x1b", "\u202e"} & set(reply.body.decode())


@pytest.mark.parametrize("path", ["/trace?id={}", "/account?name=customer_wallet&key={}"])
def test_what_is_asked_for_is_shown_as_text(path: str, open_site: Served) -> None:
    """The same for what comes in an address, found or not."""
    asked = "<script>alert(1)</script>\u202e\"'"
    reply = open_site.get(path.format(quote(asked)))
    assert reply.status == 200
    assert b"<script" not in reply.body
    assert "\u202e" not in reply.body.decode()


def test_an_account(money: Money, open_site: Served) -> None:
    """Its balances on its own side with a comma at each thousand, and its statement."""
    money.charged("cus_1", 123_456_700)
    money.sent("cus_1", "cus_2", 3_000)
    money.withdrawn("cus_1", 2_000)
    text = " ".join(Tags(open_site.get("/account?name=customer_wallet&key=cus_1")).text.split())
    assert "customer_wallet[cus_1]" in text
    assert "usd 1,234,537.00 1,234,517.00 30.00 1,234,567.00 20.00 0.00" in text
    assert "1,234,567.00 1,234,567.00" in text  # the first line's change and balance
    assert "−30.00 1,234,537.00" in text
    assert "reserved 20.00 1,234,537.00" in text
    assert "closing balance1,234,537.00" in text
    found = open_site.get("/trace?id=customer_wallet%5Bcus_1%5D")
    assert (found.status, found.headers["location"]) == (
        303,
        "/account?name=customer_wallet&key=cus_1",
    )


def test_a_long_statement_is_turned_page_by_page(money: Money, open_site: Served) -> None:
    """The newest lines first; earlier and later pages join without a gap, each balance once."""
    for _ in range(250):
        money.charged("cus_1", 100)
    address, sums = "/account?name=stripe_unsettled", []
    while address:
        tags = Tags(open_site.get(address))
        text = " ".join(tags.text.split())
        opening = re.search(r"opening balance \([^)]*\) ?([\d,.]+)", text)
        closing = re.search(r"(?:closing balance|after these lines) ?([\d,.]+)", text)
        assert opening
        assert closing
        sums.append((opening[1], closing[1]))
        turns = {tag["rel"]: tag["href"] for _, tag in tags.tags if tag.get("rel") in TURNS}
        address = turns.get("prev") or ""
    assert sums == [("150.00", "250.00"), ("50.00", "150.00"), ("0.00", "50.00")]
    later = " ".join(Tags(open_site.get(turns["next"] or "")).text.split())
    assert ")50.00" in later
    assert later.endswith("after these lines150.00 EarlierLater")


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/account?name=customer_walet&key=a", 400, "did you mean customer_wallet?"),
        ("/account?name=customer_wallet", 400, "one account per customer: say which"),
        ("/account?name=bank&key=a", 400, "is a single account and has no key"),
        ("/account?name=bank&currency=zzz", 400, "no ledger for the currency 'zzz'"),
        ("/account?name=bank&from=never", 400, "the time 'never' is no time"),
        ("/account?name=bank", 200, "nothing was ever posted to it"),
        ("/status?since=1960-01-01", 400, "lies before 1970"),
        (f"/trace?id={'x' * 601}", 400, "id has more than 600 characters"),
        ("/trace?id=", 303, ""),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_says_why(
    path: str, status: int, says: str, open_site: Served
) -> None:
    """One sentence on a page."""
    reply = open_site.get(path)
    assert reply.status == status
    assert says in Tags(reply).text


@pytest.mark.parametrize(
    ("failing", "status"),
    [(UsageError("there is no record"), 400), (DependencyUnavailable("Kafka is away"), 503)],
)
def test_what_cannot_be_read_says_why(
    failing: Exception, status: int, reads: WrittenReads, open_site: Served
) -> None:
    """A failure of the read is the page's, not the server's."""
    reads.failing = failing
    reply = open_site.get("/trace?id=evt_1")
    assert reply.status == status
    assert str(failing) in Tags(reply).text
    assert ("retry-after" in reply.headers) == (status == 503)


def test_without_tokens_no_other_name_is_answered(open_site: Served) -> None:
    """A page elsewhere may point its own name at this machine; ours then shows it nothing."""
    assert open_site.get("/trace?id=evt_1", Host="attacker.example:80").status == 403
    for name in ("localhost", "127.0.0.1:9465", "[::1]:9465"):
        assert open_site.get("/", Host=name).status == 200


def cookie_of(reply: Reply) -> tuple[str, str]:
    """The session's value, and the cookie's attributes."""
    value, _, attributes = reply.headers["set-cookie"].partition("; ")
    return value.removeprefix(f"{COOKIE}="), attributes


def test_log_in_and_out(guarded: Served) -> None:
    """Nothing without a session; a token gives one, for reading, until it is ended."""
    for path in PATHS:
        away = guarded.get(path)
        assert (away.status, away.body) == (303, b"")
        assert away.headers["location"].startswith("/login")
    assert guarded.get("/trace?id=evt_1").headers["location"] == "/login?next=%2Ftrace%3Fid%3Devt_1"
    reply = guarded.post("/login", {"token": TOKEN, "next": "/trace?id=evt_1"})
    assert (reply.status, reply.headers["location"]) == (303, "/trace?id=evt_1")
    cookie, attributes = cookie_of(reply)
    assert TOKEN not in cookie
    for wanted in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=28800"):
        assert wanted in attributes
    assert "Secure" not in attributes
    sent: dict[str, Any] = {"Cookie": f"{COOKIE}={cookie}"}
    for path in PATHS:
        assert guarded.get(path, **sent).status == 200
    assert guarded.get("/v1/accounts/bank?currency=usd", **sent).refusal == (401, "token_missing")
    away = guarded.post("/logout", {}, **sent)
    assert (away.status, away.headers["location"]) == (303, "/login")
    assert guarded.get("/", **sent).status == 303


def test_behind_tls_the_cookie_stays_there(guarded: Served) -> None:
    """A proxy that speaks TLS says so, and the cookie is never sent without it."""
    reply = guarded.post("/login", {"token": TOKEN}, X_Forwarded_Proto="https")
    assert "Secure" in cookie_of(reply)[1]


def test_a_token_lets_a_program_in(guarded: Served) -> None:
    """As for the balances."""
    assert guarded.get("/status", Authorization=f"Bearer {TOKEN}").status == 200
    assert guarded.get("/status", Authorization=f"Bearer {TOKEN}x").status == 303


def test_a_session_ends_with_its_token(guarded: Served, tokens_file: Path) -> None:
    """Whoever is taken out of the file is out; while it cannot be read, everybody is."""
    sent = {"Cookie": f"{COOKIE}={cookie_of(guarded.post('/login', {'token': TOKEN}))[0]}"}
    tokens_file.write_text("another-0123456789abcdef")
    assert guarded.get("/", **sent).status == 303
    tokens_file.unlink()
    assert guarded.get("/", **sent).status == 503
    assert guarded.post("/login", {"token": TOKEN}).status == 503


@pytest.mark.parametrize(
    "onward", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:x", "/\n/"]
)
def test_log_in_leads_nowhere_else(onward: str, guarded: Served) -> None:
    """Only to a page of ours."""
    reply = guarded.post("/login", {"token": TOKEN, "next": onward})
    assert reply.headers["location"] == "/"
    assert onward not in guarded.get(f"/login?next={quote(onward)}").body.decode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 303),
    ],
)
def test_a_form_from_elsewhere_is_refused(
    headers: dict[str, str], status: int, guarded: Served
) -> None:
    """Nobody is logged in by another site's page, not even with a right token."""
    reply = guarded.post("/login", {"token": TOKEN}, **headers)
    assert reply.status == status
    assert ("set-cookie" in reply.headers) == (status == 303)


def test_wrong_tokens_have_to_wait(guarded: Served) -> None:
    """After a few, also the right one is not looked at for a while; no token is shown again."""
    for _ in range(FAILURES_MAX):
        reply = guarded.post("/login", {"token": "wrong-0123456789abcdef"})
        assert reply.status == 401
        assert b"wrong-01" not in reply.body
    reply = guarded.post("/login", {"token": TOKEN})
    assert reply.status == 429
    assert 0 < int(reply.headers["retry-after"]) <= 61


@pytest.mark.parametrize("body", ["", "token=%ff%00", "&".join(["a=b"] * 50), "token"])
def test_forms_that_are_none(body: str, guarded: Served) -> None:
    """They are wrong tokens."""
    client = HTTPConnection("127.0.0.1", guarded.port, timeout=60)
    assert guarded.ask(client, "/login", method="POST", body=body).status == 401
    client.close()


def test_a_form_in_pieces_is_not_waited_for(guarded: Served) -> None:
    """No browser sends one so."""
    head = b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    assert guarded.send(head + b"\r\n5\r\ntoken\r\n0\r\n\r\n").startswith(b"HTTP/1.1 401")


def test_pages_only_read(open_site: Served) -> None:
    """No page takes a form, and none is in the contract of the balances."""
    for path in PATHS:
        assert open_site.get(path, method="POST").status == 405
    assert set(open_site.get("/openapi.json").json["paths"]) == {
        "/v1/accounts/{account}",
        "/v1/accounts/{account}/{key}",
        *("/livez", "/readyz", "/metrics", "/openapi.json"),
    }
