"""The OpenAPI document: it is well formed, and what the server sends is what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.jobs.serve.money import Money
from tests.jobs.serve.served import REFUSED, WALLET, Reply, Served, StuckLedger, serve
from worker.jobs.serve.answers import REASONS

with serve(StuckLedger()) as _served:
    DOCUMENT = _served.get("/openapi.json").json


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        yield from ((path, operation) for operation in item.values())


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def resolved(reference: str) -> Any:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_the_document_is_well_formed() -> None:
    """Schemas are JSON Schema, references lead somewhere, and path parameters are declared."""
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in references(DOCUMENT):
        assert resolved(reference)
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)
    for path, operation in operations():
        declared = [one["name"] for one in operation.get("parameters", []) if one["in"] == "path"]
        assert declared == [part[1:-1] for part in path.split("/") if part.startswith("{")]
        assert all(one["description"] for one in operation["responses"].values())


def test_every_status_is_in_it() -> None:
    """Each reason for a refusal stands at its status, of an account's operations above all."""
    told: dict[str, str] = {}
    for path, operation in operations():
        for status, response in operation["responses"].items():
            if path.startswith("/v1/"):
                told[status] = told.get(status, "") + response["description"]
    assert set(told) == {"200", "304", *(str(status) for status, _ in REASONS.values())}
    for reason, (status, _) in REASONS.items():
        assert f"`{reason}`" in told[str(status)]


def check(path: str, reply: Reply) -> None:
    """One answer against what the document says of it."""
    responses = DOCUMENT["paths"][path]["get"]["responses"]
    response = responses[str(reply.status)]
    content = response.get("content", {})
    assert (reply.headers.get("content-type", "").split(";")[0] or None) == next(
        iter(content), None
    )
    for name in response.get("headers", {}):
        assert name.lower() in reply.headers
    for media_type, declared in content.items():
        if "json" in media_type:
            schema = {"components": DOCUMENT["components"], **declared["schema"]}
            Draft202012Validator(schema).validate(reply.json)


@pytest.mark.parametrize("fixed", ["/livez", "/readyz", "/metrics", "/openapi.json"])
def test_fixed_answers_are_as_declared(fixed: str) -> None:
    """Status, media type, headers and body of what has no parameters."""
    with serve(Money().ledger) as served:
        check(fixed, served.get(fixed))
        check(fixed, served.get(fixed, method="DELETE"))


def test_answers_are_as_declared() -> None:
    """Balances, 304 and every refusal validate against the schemas of their status."""
    money = Money()
    money.charged("cus_1", 100)
    path = "/v1/accounts/{account}/{key}"
    with serve(money.ledger) as served:
        found = served.get(f"{WALLET}/cus_1?currency=usd")
        check(path, found)
        check(path, served.get(f"{WALLET}/new?currency=usd"))
        check(path, served.get(f"{WALLET}/cus_1?currency=usd", If_None_Match=found.headers["etag"]))
        check("/v1/accounts/{account}", served.get("/v1/accounts/bank?currency=usd"))
        for asked, _ in REFUSED:
            check(path, served.get(asked))


names = st.sampled_from(["customer_wallet", "bank", "stripe_clearing", "", "..", "a/b"])
texts = names | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
queries = st.lists(st.tuples(st.sampled_from(["currency", "at"]), texts | st.just("usd")))
escapes = st.sampled_from(["", "", "", "%", "%zz", "%ff", "%2F"])


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, str]:
    """A path of the document, a target that it may lead to, and a method."""
    path = draw(st.sampled_from([path for path in DOCUMENT["paths"] if path.startswith("/v1/")]))
    sent = path
    for name in ("account", "key"):
        sent = sent.replace(f"{{{name}}}", quote(draw(texts), safe=""))
    target = f"{sent}{draw(escapes)}?{urlencode(draw(queries))}"
    return path, target, draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "PUT"]))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests())
def test_whatever_is_sent_is_answered_as_declared(
    shared: Served, sent: tuple[str, str, str]
) -> None:
    """No account, key, query or method gets an answer that is not in the document."""
    path, target, method = sent
    reply = shared.get(target, method=method)
    assert reply.status < 500
    if method == "HEAD":
        assert reply.body == b""
        assert str(reply.status) in DOCUMENT["paths"][path]["get"]["responses"]
    else:
        check(path, reply)


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with serve(Money().ledger) as served:
        yield served
