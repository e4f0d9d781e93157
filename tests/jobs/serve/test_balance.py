"""What the figures of an account mean, for every type and limit."""

from __future__ import annotations

import pytest

from worker.core.money import Currency
from worker.core.rulebook import AccountType
from worker.core.rulebook import DeclaredAccount as Declared
from worker.core.wire import Account, AccountFlags
from worker.jobs.serve.balance import balance

USD = Currency("usd", 840, 2)
NONE = AccountFlags.NONE
DEBITS = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
CREDITS = AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS
CLOSED = AccountFlags.CLOSED
HUGE = 2**127


@pytest.mark.parametrize(
    ("kind", "flags", "debits", "credits_", "figures"),
    [  # debits and credits: posted, pending; figures: side, posted, pending, available
        ("liability", DEBITS,          (30, 20), (100, 7),  ("credit", "70", "20", "50")),
        ("liability", NONE,            (30, 20), (100, 7),  ("credit", "70", "20", "50")),
        ("liability", NONE,            (30, 90), (100, 7),  ("credit", "70", "90", "-20")),
        ("liability", DEBITS | CLOSED, (30, 20), (100, 7),  ("credit", "70", "20", "0")),
        ("liability", DEBITS,          (0, 0),   (HUGE, 0), ("credit", str(HUGE), "0", str(HUGE))),
        ("equity",    NONE,            (30, 20), (100, 7),  ("credit", "70", "20", "50")),
        ("revenue",   NONE,            (30, 20), (100, 7),  ("credit", "70", "20", "50")),
        ("revenue",   CREDITS,         (100, 7), (30, 20),  ("debit", "70", "20", "50")),
        ("asset",     NONE,            (30, 20), (100, 7),  ("debit", "-70", "7", "-77")),
        ("asset",     NONE,            (100, 7), (30, 20),  ("debit", "70", "20", "50")),
        ("asset",     CREDITS,         (100, 7), (30, 20),  ("debit", "70", "20", "50")),
        ("expense",   NONE,            (100, 7), (30, 20),  ("debit", "70", "20", "50")),
        ("expense",   DEBITS,          (30, 20), (100, 7),  ("credit", "70", "20", "50")),
    ],
)  # fmt: skip
def test_posted_pending_and_available(
    kind: AccountType,
    flags: int,
    debits: tuple[int, int],
    credits_: tuple[int, int],
    figures: tuple[str, ...],
) -> None:
    """A limit says by which side an account grows, else its type; nothing leaves a closed one."""
    held = Account(
        debits_posted=debits[0],
        debits_pending=debits[1],
        credits_posted=credits_[0],
        credits_pending=credits_[1],
        flags=flags,
    )
    declared = Declared("a", "A", 1, kind, "", flags)
    found = balance(declared=declared, key="", currency=USD, account_id=1, stored=held).model_dump()
    assert tuple(found[name] for name in ("side", "posted", "pending", "available")) == figures
    assert found["closed"] == bool(flags & CLOSED)


def test_the_ledgers_own_flags_count() -> None:
    """An account made before the rulebook gave it a limit has none in the ledger, and none here."""
    declared = Declared("a", "A", 1, "liability", "customer", DEBITS)
    made = balance(declared=declared, key="k", currency=USD, account_id=1, stored=Account())
    new = balance(declared=declared, key="k", currency=USD, account_id=1, stored=None)
    assert (made.exists, made.limit) == (True, None)
    assert (new.exists, new.limit) == (False, "debits_must_not_exceed_credits")
