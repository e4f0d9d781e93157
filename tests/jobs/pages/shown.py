"""Pages without a broker: what a trace and a status say is written down here."""

from __future__ import annotations

from typing import Any

from tests.jobs.serve.money import Money
from tests.jobs.serve.served import packaged_rulebook
from worker.config.settings import Settings
from worker.jobs.pages.reading import AccountShown, PageReads

WHEN = "2026-01-31T12:00:00.000Z"
NUMBER = "0123456789abcdef" * 2


class WrittenReads:
    """Accounts of a ledger; every text of a trace and of a status is `text`.

    asked: what traces were asked for.
    """

    def __init__(self, money: Money, text: str = "evt_1") -> None:
        self.rulebook = packaged_rulebook()
        self.asked: list[str] = []
        self.failing: Exception | None = None
        self._text = text
        self._ledger = PageReads(Settings(), self.rulebook, money.ledger)

    def trace(self, text: str, *, since_ms: int, scan: bool) -> dict[str, Any]:
        del since_ms, scan
        if self.failing:
            raise self.failing
        self.asked.append(text)
        return trace_document(self._text)

    def status(self, *, since_ms: int) -> dict[str, Any]:
        del since_ms
        return status_document(self._text)

    def unsettled(self, *, since_ms: int) -> dict[str, Any]:
        del since_ms
        sums = {"currency": "usd", "held": "3.00", "listed": "1.00", "rest": "2.00", "cut": True}
        return {"items": trace_document(self._text)["unsettled"], "currencies": [sums]}

    def accounts(self) -> list[dict[str, Any]]:
        return self._ledger.accounts()

    def account(
        self, name: str, key: str, *, currency: str, start_ns: int, end_ns: int
    ) -> AccountShown:
        return self._ledger.account(name, key, currency=currency, start_ns=start_ns, end_ns=end_ns)


def trace_document(text: str) -> dict[str, Any]:
    """A trace with everything that one may have."""
    transfer = {
        "transfer_id": NUMBER,
        "leg": text,
        "kind": "pending",
        "debit_account": text,
        "credit_account": f"customer_wallet[{text}]",
        "amount": "123456789",
        "major_amount": "-1234567.89",
        "currency": "usd",
        "posted_at": WHEN,
        "record": text,
        "announced": "",
    }
    letter = {
        "kind": "parked",
        "letter": text,
        "record": text,
        "at": WHEN,
        "reason": text,
        "detail": text,
        "leg": text,
        "attempt": 1,
        "due": WHEN,
        "taken_up": False,
    }
    record = {
        "record": text,
        "at": WHEN,
        "role": text,
        "event_id": text,
        "event_type": text,
        "event_created": WHEN,
        "committed": True,
        "outcome": "posted",
        "why": text,
        "rules": [{"transaction": text, "verdict": text}],
        "key": text,
        "user_data_128": NUMBER,
        "transfers": [transfer, transfer | {"announced": text, "kind": "posted"}],
        "letters": [letter, letter | {"kind": "dead", "taken_up": True}],
        "fine": True,
    }
    item = {
        "stripe_object": text,
        "currency": "usd",
        "is_open": True,
        "payments": "1.00",
        "settlements": "0.00",
        "open": "1.00",
        "since": WHEN,
    }
    return {
        "id": text,
        "sentence": text,
        "records": [record, record | {"event_id": "", "fine": False}],
        "transfers_without_record": [transfer],
        "letters_without_record": [letter],
        "unsettled": [item, item | {"is_open": False}],
        "not_searched": [text],
    }


def status_document(text: str) -> dict[str, Any]:
    """A status with everything that one may have."""
    member = {"instance_id": text, "client_id": text, "host": f"/{text}", "shown": text}
    waits = {"topic": text, "detail": text, "events": 1_000, "first_due": WHEN, "last_due": WHEN}
    refused = {"kind": "dead", "reason": text, "events": 1, "newest": text, "newest_at": WHEN}
    return {
        "as_of": WHEN,
        "since": WHEN,
        "group": text,
        "state": "stable",
        "members": [member],
        "lag": [{"topic": text, "role": text, "partitions": 2, "lag": 5_000, "behind": 1}],
        "parked": [waits, waits | {"last_due": "2026-01-31T13:00:00.000Z"}],
        "refused": [refused],
        "newest_posting": {"at": WHEN, "transfer_id": NUMBER, "record": text},
        "rulebook": NUMBER,
        "approved": {"digest": text, "by": text, "at": WHEN},
        "missing_topics": [text],
    }
