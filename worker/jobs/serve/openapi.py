"""The OpenAPI document of the server: the contract that clients are generated from.

The invariant: it lists every status that the server can send, because its refusals come from
`REASONS`. Pure. Imports this package and the package's version only.
"""

from __future__ import annotations

from typing import Any, Final

from worker import __version__
from worker.jobs.serve.answers import JSON, PROBLEM_JSON, REASONS

AMOUNT: Final = {
    "type": "string",
    "pattern": "^(0|-?[1-9][0-9]*)$",
    "examples": ["5000"],
}
COUNT: Final = {"type": "string", "pattern": "^(0|[1-9][0-9]*)$", "examples": ["7000"]}

FIGURES: Final[dict[str, Any]] = {
    "account": {"type": "string", "description": "the account's name in the rulebook"},
    "key": {"type": "string", "description": "which of a family; empty for a single account"},
    "currency": {"type": "string", "description": "in lower case"},
    "scale": {
        "type": "integer",
        "minimum": 0,
        "description": "minor digits, Stripe's: 2 for usd, 0 for jpy; 5000 at scale 2 is 50.00",
    },
    "posted": {
        **AMOUNT,
        "description": "what the account holds: positive on the side that it grows by",
    },
    "pending": {
        **COUNT,
        "description": "reserved to leave the account and not yet gone, as by a withdrawal",
    },
    "available": {
        **AMOUNT,
        "description": "what can still leave: posted less pending, 0 when the account is closed."
        " Where `limit` is null the ledger refuses nothing, and this can be negative",
    },
    "type": {
        "type": "string",
        "enum": ["asset", "liability", "equity", "revenue", "expense", "memo"],
    },
    "side": {
        "type": "string",
        "enum": ["credit", "debit"],
        "description": "the side that the account grows by; money leaves by the other one",
    },
    "limit": {
        "type": ["string", "null"],
        "enum": ["debits_must_not_exceed_credits", "credits_must_not_exceed_debits", None],
        "description": "what the ledger refuses on this account; null: it lets any amount leave",
    },
    "exists": {
        "type": "boolean",
        "description": "false until the first transfer: then it holds nothing, and all is zero",
    },
    "closed": {"type": "boolean", "description": "true: the ledger refuses every transfer"},
    "ledger": {"type": "integer", "description": "TigerBeetle's ledger number of the currency"},
    "account_id": {
        "type": "string",
        "pattern": "^[0-9a-f]{32}$",
        "description": "as in the announcements",
    },
    "debits_posted": COUNT,
    "debits_pending": COUNT,
    "credits_posted": COUNT,
    "credits_pending": COUNT,
}

PROBLEM: Final[dict[str, Any]] = {
    "type": {"type": "string", "const": "about:blank"},
    "title": {"type": "string"},
    "status": {"type": "integer", "enum": sorted({status for status, _ in REASONS.values()})},
    "reason": {"type": "string", "enum": list(REASONS)},
    "detail": {"type": "string", "description": "one sentence for a person"},
}

BY_HTTP: Final = ("bad_request", "body_too_large", "headers_too_large", "not_implemented")
"""What can be wrong with any request, whatever it asks for."""

EVERYWHERE: Final = (*BY_HTTP, "method_not_allowed", "internal_error")
UNREACHED: Final = ("ledger_silent", "too_busy", "stopping")
OF_AN_ACCOUNT: Final = (
    *("bad_path", "bad_key", "bad_query", "unknown_currency", "token_missing", "token_wrong"),
    *("not_found", "unknown_account", "key_missing", "key_not_taken"),
    *(*UNREACHED, "tokens_unreadable"),
)


def openapi() -> dict[str, Any]:
    """The document, as GET /openapi.json answers it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ledger-worker: live balances",
            "version": __version__,
            "description": "Read-only. Amounts are decimal strings of minor units, because JSON's"
            " numbers are exact to 2^53 only. A read is of one moment: the ledger refuses in the"
            " end, when the event is posted.",
        },
        "paths": {
            "/v1/accounts/{account}/{key}": {"get": _account("balance_of_key", "account", "key")},
            "/v1/accounts/{account}": {"get": _account("balance", "account")},
            "/openapi.json": {"get": _document("openapi", "this document")},
            "/livez": {"get": _probe("livez", "is the server alive?", ())},
            "/readyz": {
                "get": _probe(
                    "readyz", "does the ledger answer?", (*UNREACHED, "tokens_unreadable")
                )
            },
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "schemas": {
                "Balance": _object(FIGURES),
                "Problem": _object(PROBLEM),
                "Ok": _object({"ok": {"type": "boolean", "const": True}}),
            },
            "headers": {
                "ETag": {"schema": {"type": "string"}, "description": "of these bytes"},
                "Retry-After": {"schema": {"type": "integer"}, "description": "seconds"},
                "WWW-Authenticate": {"schema": {"type": "string"}},
                "Allow": {"schema": {"type": "string"}},
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _account(operation: str, *names: str) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": "what an account holds now",
        "security": [{"token": []}],
        "parameters": [
            *(_parameter(name, "path", required=True) for name in names),
            _parameter("currency", "query", required=True),
            _parameter("If-None-Match", "header", required=False),
        ],
        "responses": {
            "200": _found("Balance", "the balance of one moment", tagged=True),
            "304": _unchanged(),
            **_refusals(*OF_AN_ACCOUNT),
        },
    }


def _parameter(name: str, place: str, *, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": _PARAMETERS[name],
        "schema": {"type": "string"},
    }


_PARAMETERS: Final = {
    "account": "an account's name in the rulebook, as customer_wallet",
    "key": "which of the family, as a customer's id; a / in it is written %2F",
    "currency": "a currency of the rulebook, as usd",
    "If-None-Match": "the ETag of an earlier answer: 304 when nothing has moved since",
}


def _document(operation: str, summary: str) -> dict[str, Any]:
    found = {
        "description": summary,
        "content": {JSON: {"schema": {"type": "object"}}},
        "headers": _headers("ETag"),
    }
    responses = {"200": found, "304": _unchanged(), **_refusals()}
    return {"operationId": operation, "summary": summary, "responses": responses}


def _probe(operation: str, summary: str, reasons: tuple[str, ...]) -> dict[str, Any]:
    responses = {"200": _found("Ok", "yes", tagged=False), **_refusals(*reasons)}
    return {"operationId": operation, "summary": summary, "responses": responses}


def _metrics() -> dict[str, Any]:
    found = {
        "description": "in the format that was asked for",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    responses = {"200": found, **_refusals()}
    return {"operationId": "metrics", "summary": "for Prometheus", "responses": responses}


def _found(schema: str, text: str, *, tagged: bool) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    headers = {"headers": _headers("ETag")} if tagged else {}
    return {"description": text, "content": content, **headers}


def _unchanged() -> dict[str, Any]:
    return {"description": "the client has these bytes already", "headers": _headers("ETag")}


def _refusals(*reasons: str) -> dict[str, Any]:
    """One response for each status, with the reasons that it can have."""
    by_status: dict[int, list[str]] = {}
    for reason in (*reasons, *EVERYWHERE):
        by_status.setdefault(REASONS[reason][0], []).append(reason)
    return {
        str(status): {
            "description": "; ".join(f"`{reason}`: {REASONS[reason][1]}" for reason in found),
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "headers": _headers(*_HEADERS.get(status, ())),
        }
        for status, found in sorted(by_status.items())
    }


_HEADERS: Final = {401: ("WWW-Authenticate",), 405: ("Allow",), 503: ("Retry-After",)}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }
