"""The server as an app meets it: over a socket, on a ledger that the worker posted to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.jobs.serve.money import Money
from tests.jobs.serve.served import PATIENCE_SECONDS, REFUSED, WALLET, Served, serve
from worker.core.ids import account_id, hex_id
from worker.core.wire import Transfer as Moved
from worker.core.wire import TransferFlags, pack_transfer
from worker.jobs.serve.tokens import Tokens

TOKEN = "0123456789abcdef" * 2
BEARER = f"Bearer {TOKEN}"


def test_a_wallet(money: Money, served: Served) -> None:
    """What was posted and reserved, in minor units, as the app needs it before it speaks."""
    money.charged("cus_1", 10_000)
    money.sent("cus_1", "cus_2", 3_000)
    money.withdrawn("cus_1", 2_000)
    reply = served.get(f"{WALLET}/cus_1?currency=usd")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.headers["x-content-type-options"] == "nosniff"
    number = account_id(ledger=840, name="customer_wallet", key="cus_1")
    assert reply.json == {
        "account": "customer_wallet",
        "key": "cus_1",
        "currency": "usd",
        "scale": 2,
        "posted": "7000",
        "pending": "2000",
        "available": "5000",
        "type": "liability",
        "side": "credit",
        "limit": "debits_must_not_exceed_credits",
        "exists": True,
        "closed": False,
        "ledger": 840,
        "account_id": hex_id(number),
        "debits_posted": "3000",
        "debits_pending": "2000",
        "credits_posted": "10000",
        "credits_pending": "0",
    }


def test_available_is_what_the_ledger_lets_leave(money: Money, served: Served) -> None:
    """One more than available is refused by the ledger, and exactly available is not."""
    money.charged("cus_1", 10_000)
    money.withdrawn("cus_1", 2_000)
    available = int(served.get(f"{WALLET}/cus_1?currency=usd").json["available"])
    pay = {"id": "p1", "from": "cus_1", "to": "cus_2", "currency": "usd"}
    too_much = money.event("wallet.p2p", pay | {"amount": available + 1})
    enough = money.event("wallet.p2p", pay | {"amount": available})
    assert money.kinds(too_much, enough) == ["rejected", "posted"]
    assert served.get(f"{WALLET}/cus_1?currency=usd").json["available"] == "0"


def test_a_closed_wallet_has_nothing_available(money: Money, served: Served) -> None:
    """The ledger refuses every transfer of a closed account, so nothing can leave."""
    money.charged("cus_1", 10_000)
    wallet = account_id(ledger=840, name="customer_wallet", key="cus_1")
    clearing = account_id(ledger=840, name="stripe_unsettled", key="")
    flags = TransferFlags.PENDING | TransferFlags.CLOSING_DEBIT
    closing_leg = Moved(1, wallet, clearing, ledger=840, code=1, flags=flags)
    money.ledger.create_transfers(pack_transfer(closing_leg))
    found = served.get(f"{WALLET}/cus_1?currency=usd").json
    assert (found["closed"], found["posted"], found["available"]) == (True, "10000", "0")


def test_before_the_first_payment(served: Served) -> None:
    """An account that no transfer has used holds nothing, and says that it does not exist yet."""
    found = served.get(f"{WALLET}/nobody?currency=usd")
    assert found.status == 200
    assert (found.json["exists"], found.json["available"]) == (False, "0")
    assert found.json["limit"] == "debits_must_not_exceed_credits"


def test_an_account_without_a_key(money: Money, served: Served) -> None:
    """A single account is asked for by its name; each currency has its own scale."""
    money.charged("cus_1", 700, "jpy")
    found = served.get("/v1/accounts/stripe_unsettled?currency=JPY").json
    figures = ("key", "currency", "scale", "side", "posted", "limit")
    assert [found[name] for name in figures] == ["", "jpy", 0, "debit", "700", None]


@pytest.mark.parametrize("key", ["a/b", "ü 100% ?&#+", "..%2F..", "日本語", "x" * 4_000])
def test_a_key_may_hold_any_character(key: str, money: Money, served: Served) -> None:
    """A key is percent-decoded once, after the path was taken apart."""
    money.charged(key, 100)
    found = served.get(f"{WALLET}/{quote(key, safe='')}?currency=usd").json
    assert (found["key"], found["available"]) == (key, "100")


def test_etag(money: Money, served: Served) -> None:
    """The tag stays while the balances do: 304 without a body; a posting changes it."""
    path = f"{WALLET}/cus_1?currency=usd"
    money.charged("cus_1", 100)
    tag = served.get(path).headers["etag"]
    for given in (tag, f'"other", W/{tag}', "*"):
        unchanged = served.get(path, If_None_Match=given)
        assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, b"", tag)
    assert served.get(path, If_None_Match='"other"').status == 200
    money.charged("cus_1", 100)
    changed = served.get(path, If_None_Match=tag)
    assert (changed.status, changed.json["available"]) == (200, "200")
    assert changed.headers["etag"] != tag
    assert changed.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(("path", "refusal"), REFUSED)
def test_refusals(path: str, refusal: tuple[int, str], served: Served) -> None:
    """Each mistake is a problem document with its own reason and a sentence."""
    reply = served.get(path)
    assert reply.refusal == refusal
    assert len(reply.json["detail"]) > 10


def test_a_typing_error_is_told(served: Served) -> None:
    """An account that is not declared is 404, with the name that was probably meant."""
    detail = served.get("/v1/accounts/customer_walet/a?currency=usd").json["detail"]
    assert detail.endswith("no account 'customer_walet'; did you mean customer_wallet?")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_only_reads(method: str, served: Served) -> None:
    """Every other method is refused, and says which are not."""
    reply = served.get(f"{WALLET}/a?currency=usd", method=method)
    assert reply.refusal == (405, "method_not_allowed")
    assert reply.headers["allow"] == "GET, HEAD"


def test_head_has_no_body(served: Served) -> None:
    """HEAD answers as GET does, without the body, and the connection stays of use."""
    path = f"{WALLET}/a?currency=usd"
    with closing(HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_SECONDS)) as client:
        head = served.ask(client, path, method="HEAD")
        kept = client.sock
        whole = served.ask(client, path)
        assert client.sock is kept
    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] == whole.headers["etag"]
    assert head.headers["content-length"] == str(len(whole.body))


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def guarded(money: Money, tokens_file: Path) -> Iterator[Served]:
    with serve(money.ledger, tokens=Tokens(tokens_file)) as served:
        yield served


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("",                    "token_missing"),
        ("Bearer",              "token_missing"),
        ("Bearer  ",            "token_missing"),
        (f"Basic {TOKEN}",      "token_missing"),
        (TOKEN,                 "token_missing"),
        (f"Bearer {TOKEN}x",    "token_wrong"),
        (f"Bearer {TOKEN[:-1]}", "token_wrong"),
        (f"Bearer {TOKEN} {TOKEN}", "token_wrong"),
    ],
)  # fmt: skip
def test_a_token_is_needed(given: str, reason: str, guarded: Served) -> None:
    """Without the right one nothing is told of any account, not even which there are."""
    for path in (f"{WALLET}/a?currency=usd", "/v1/accounts/none?currency=zzz"):
        headers = {"Authorization": given} if given else {}
        reply = guarded.get(path, **headers)
        assert reply.refusal == (401, reason)
        assert reply.headers["www-authenticate"].startswith('Bearer realm="ledger-worker"')
        assert TOKEN not in reply.body.decode()


def test_the_right_token(guarded: Served, tokens_file: Path) -> None:
    """It lets in until it is taken out of the file; an unreadable file lets nobody in, as 503."""
    path = f"{WALLET}/a?currency=usd"
    for given in (BEARER, BEARER.replace("Bearer", "bearer")):
        assert guarded.get(path, Authorization=given).status == 200
    tokens_file.write_text("another-0123456789abcdef")
    assert guarded.get(path, Authorization=BEARER).refusal == (401, "token_wrong")
    tokens_file.unlink()
    assert guarded.get(path, Authorization=BEARER).refusal == (503, "tokens_unreadable")
    assert guarded.get("/readyz").refusal == (503, "tokens_unreadable")


def test_probes_and_contract_need_no_token(guarded: Served) -> None:
    """Kubernetes, Prometheus and a client's generator have none."""
    assert guarded.get("/livez").json == {"ok": True}
    assert guarded.get("/readyz").json == {"ok": True}
    assert guarded.get("/metrics").status == 200
    contract = guarded.get("/openapi.json")
    assert contract.json["openapi"] == "3.1.0"
    assert guarded.get("/openapi.json", If_None_Match=contract.headers["etag"]).status == 304


def test_metrics(money: Money, served: Served) -> None:
    """Requests by route and status; no path and no key becomes a label."""
    money.charged("cus_1", 100)
    served.get(f"{WALLET}/cus_1?currency=usd")
    served.get(f"{WALLET}/cus_1?currency=zzz")
    served.get("/cus_1")
    shown = served.get("/metrics").body.decode()
    assert 'serve_requests_total{route="/v1/accounts",status="200"} 1.0' in shown
    assert 'serve_requests_total{route="/v1/accounts",status="400"} 1.0' in shown
    assert 'serve_requests_total{route="other",status="404"} 1.0' in shown
    assert "ledger_worker_serve_lookup_accounts_count 1.0" in shown
    assert "cus_1" not in shown
