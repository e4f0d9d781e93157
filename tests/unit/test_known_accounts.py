"""Which accounts the poster asks the ledger to make, and which it knows to be there."""

from __future__ import annotations

from worker.core.chain import AccountRef, Chain, Leg, leg_spec
from worker.core.event import Event
from worker.core.ids import account_id
from worker.core.money import Currency
from worker.ledger.counted import CountedLedger
from worker.ledger.embedded import EmbeddedLedger
from worker.stages.post.account_creator import AccountCreator

USD = Currency("usd", 840, 2)
SPEC = leg_spec(transaction="charge", leg="gross", code=1)
LIMIT = 4


def test_an_account_is_made_once() -> None:
    """What was made is known: the ledger is not asked again."""
    ledger, accounts = _books()
    assert _asked(ledger, accounts, "a") == 1
    assert _asked(ledger, accounts, "a") == 0


def test_what_is_used_stays_known_while_others_come_and_go() -> None:
    """When a generation is full the one before it is forgotten, but not what was named since."""
    ledger, accounts = _books()
    _asked(ledger, accounts, "mine")
    for stranger in range(10 * LIMIT):
        assert _asked(ledger, accounts, f"stranger {stranger}") == 1
        assert _asked(ledger, accounts, "mine") == 0
    assert _asked(ledger, accounts, "stranger 0") == 1
    assert _asked(ledger, accounts, f"stranger {10 * LIMIT - 1}") == 0


def _books() -> tuple[CountedLedger, AccountCreator]:
    ledger = CountedLedger(EmbeddedLedger())
    return ledger, AccountCreator(ledger, generation_max=LIMIT)


def _asked(ledger: CountedLedger, accounts: AccountCreator, name: str) -> int:
    """How many requests it took to have the accounts of a chain that names this one."""
    debit, credit = _ref(name), _ref("clearing")
    leg = Leg(SPEC, USD, 1, debit, credit, 5)
    event = Event("evt_1", "charge.succeeded", 1, {})
    chain = Chain(event, "charge", "event/evt_1", 1, 0, (leg,), sync=False)
    assert accounts.make([chain]) == set()
    assert accounts.knows(debit.id)
    return ledger.take_counts().get("create_accounts", 0)


def _ref(name: str) -> AccountRef:
    number = account_id(ledger=840, name=name, key="")
    return AccountRef(number, name, "", USD.ledger, 1, 0)
