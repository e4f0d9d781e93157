"""The tables that reconciliation joins, column by column.

Ids are 32 hex digits, amounts whole minor units, and an empty text means none; nothing is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TEXT: Final = "VARCHAR"
INT: Final = "BIGINT"
AMOUNT: Final = "HUGEINT"
FLAG: Final = "BOOLEAN"

EVENTS: Final[Mapping[str, str]] = {
    "origin": TEXT,  # where the record is; `value:` and a hash where its archive does not say
    "event_id": TEXT,
    "event_type": TEXT,
    "created_at": TEXT,
    "transaction_name": TEXT,
    "object_id": TEXT,
    "tag": TEXT,
    "variant": TEXT,  # tells two events of one key that ask for other money
    "outcome": TEXT,  # chain, dead, ignored, nothing_to_post
    "reason": TEXT,
    "waits_for": TEXT,  # the predecessor that is not in the ledger
    "time_ms": INT,
    "in_transit": FLAG,  # the live group has not committed it yet
}
EXPECTED: Final[Mapping[str, str]] = {
    "tag": TEXT,
    "variant": TEXT,
    "candidate": INT,  # 0 as sent first, 1 diverted to suspense, 2 and 3 at attempt 1, and so on
    "leg": INT,
    "legs": INT,
    "leg_name": TEXT,
    "transfer_id": TEXT,
    "debit": TEXT,
    "credit": TEXT,
    "debit_name": TEXT,
    "credit_name": TEXT,
    "ledger": INT,
    "amount": AMOUNT,
    "amount_rule": TEXT,  # equal, at_most (a balancing leg), reserved (all of its pending)
    "pendings": TEXT,  # the ids that the pending transfer may have, spaces between
    "is_fee": FLAG,
    "clearing_sign": INT,  # +1 debits Stripe's clearing account, -1 credits it
}
ACTUAL: Final[Mapping[str, str]] = {
    "transfer_id": TEXT,
    "tag": TEXT,
    "leg": INT,
    "legs": INT,
    "debit": TEXT,
    "credit": TEXT,
    "ledger": INT,
    "amount": AMOUNT,
    "pending_id": TEXT,
    "code": INT,
    "flags": INT,
    "position": TEXT,
    "posted_ns": INT,
    "in_range": FLAG,
    "in_transit": FLAG,  # posted by a record that the live group has not committed yet
    "expires_at": TEXT,  # of a reservation with a timeout
}
ANNOUNCED: Final[Mapping[str, str]] = {
    "transfer_id": TEXT,
    "event_id": TEXT,
    "debit": TEXT,
    "credit": TEXT,
    "ledger": INT,
    "amount": AMOUNT,
    "posted_ns": INT,
    "pending_id": TEXT,
    "leg": INT,
    "legs": INT,
    "code": INT,
    "flags": INT,
    "event_type": TEXT,
    "created_at": TEXT,
    "leg_name": TEXT,  # transaction.leg
    "attempt": INT,
    "tag": TEXT,  # of its fact; empty in the outbox's first generation, like the next two
    "record": TEXT,  # the one that posted it
    "expires_at": TEXT,
    "wrong": TEXT,  # fields that say otherwise than those of which they are made
    "in_range": FLAG,
    "position": TEXT,
}
UNREADABLE: Final[Mapping[str, str]] = {"position": TEXT, "time_ms": INT, "why": TEXT}
REJECTED: Final[Mapping[str, str]] = {"event_id": TEXT, "reason": TEXT, "position": TEXT}
DEAD: Final[Mapping[str, str]] = {"origin": TEXT, "reason": TEXT, "position": TEXT}
SETTLED: Final[Mapping[str, str]] = {
    "txn": TEXT,
    "source": TEXT,
    "category": TEXT,
    "currency": TEXT,
    "gross": AMOUNT,
    "fee": AMOUNT,
    "net": AMOUNT,
    "on_balance": FLAG,
    "time_ms": INT,
    "in_transit": FLAG,
}
UNSETTLED: Final[Mapping[str, str]] = {
    "transfer_id": TEXT,
    "about": TEXT,  # the Stripe object
    "category": TEXT,  # of a balance transaction
    "told_by": TEXT,  # payments, settlements
    "sign": INT,  # +1 debits stripe_unsettled, -1 credits it
    "event_id": TEXT,
    "origin": TEXT,
    "time_ms": INT,
}
BANKED: Final[Mapping[str, str]] = {
    "transfer_id": TEXT,  # it debits or credits the account `bank`
    "about": TEXT,  # the payout, or whatever object its event carries
    "names": TEXT,  # what a bank statement may call it, spaces between
    "due_ms": INT,  # when Stripe expects it at the bank; 0 where no event says
    "event_id": TEXT,
}
REPORT: Final[Mapping[str, str]] = {
    "file": TEXT,
    "line": INT,
    "payout": TEXT,
    "txn": TEXT,
    "source": TEXT,
    "category": TEXT,
    "currency": TEXT,
    "gross": AMOUNT,
    "fee": AMOUNT,
    "net": AMOUNT,
    "day": TEXT,
    "created_at": TEXT,
    "is_activity": FLAG,
}
CURRENCIES: Final[Mapping[str, str]] = {
    "ledger": INT,
    "currency": TEXT,
    "scale": INT,
    "clearing": TEXT,  # the id of Stripe's clearing account
}

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "events": EVENTS,
    "expected": EXPECTED,
    "actual": ACTUAL,
    "announced": ANNOUNCED,
    "rejected": REJECTED,
    "dead": DEAD,
    "parked": DEAD,
    "unreadable": UNREADABLE,
    "settled": SETTLED,
    "unsettled": UNSETTLED,
    "banked": BANKED,
    "report_rows": REPORT,
    "currencies": CURRENCIES,
}
