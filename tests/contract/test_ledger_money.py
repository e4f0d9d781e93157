"""What every ledger behind the port does with limits, sums, shortfalls, closing and importing.

Each claim was seen on a real TigerBeetle server, and holds for the embedded ledger too.
"""

from __future__ import annotations

import pytest

from tests.contract.world import LIMITED, LedgerSentences
from worker.core.wire import AMOUNT_MAX, Account, AccountFlags, Transfer, TransferFlags

A = AccountFlags
T = TransferFlags
MAX = AMOUNT_MAX
HALF = 1 << 127
FAILED = "LINKED_EVENT_FAILED"


def test_an_overdraft_burns_the_id(world: LedgerSentences) -> None:
    """A chain rejected for overdraft stays rejected, even after the account has funds."""
    wallet, shop, bank = world.wallet(10), world.account(), world.account()
    legs = world.chain(world.move(wallet, shop, 4), world.move(wallet, shop, 7))
    assert world.post(*legs) == [FAILED, "EXCEEDS_CREDITS"]
    assert world.post(world.move(bank, wallet, 100)) == ["CREATED"]
    assert world.post(*legs) == [FAILED, "ID_ALREADY_FAILED"]
    assert world.post(legs[0]._replace(flags=0)) == ["CREATED"]


def test_the_other_limit_is_exceeds_debits(world: LedgerSentences) -> None:
    """An account whose credits may not exceed its debits counts what is reserved."""
    capped = world.account(A.CREDITS_MUST_NOT_EXCEED_DEBITS)
    other = world.account()
    assert world.post(world.move(capped, other, 5)) == ["CREATED"]
    assert world.post(world.move(other, capped, 3, T.PENDING)) == ["CREATED"]
    assert world.post(world.move(other, capped, 3)) == ["EXCEEDS_DEBITS"]
    assert world.post(world.move(other, capped, 2)) == ["CREATED"]


def test_what_is_reserved_counts_against_the_limit(world: LedgerSentences) -> None:
    """A pending debit takes part of what may be spent."""
    wallet, shop = world.wallet(10), world.account()
    assert world.post(world.move(wallet, shop, 8, T.PENDING)) == ["CREATED"]
    assert world.post(world.move(wallet, shop, 3)) == ["EXCEEDS_CREDITS"]


def test_a_missing_account_burns_the_id(world: LedgerSentences) -> None:
    """A transfer whose account was missing fails for good, though the account comes later."""
    late = Account(id=world.new_id(), ledger=world.number, code=1)
    sent = world.move(late.id, world.account(), 1)
    assert world.post(sent) == ["DEBIT_ACCOUNT_NOT_FOUND"]
    assert world.open_accounts(late) == ["CREATED"]
    assert world.post(sent) == ["ID_ALREADY_FAILED"]


def test_other_failures_do_not_burn_the_id(world: LedgerSentences) -> None:
    """A transfer that can never succeed as sent may be sent again corrected."""
    sent = world.move(world.account(), world.account(), 1)
    assert world.post(sent._replace(ledger=9)) == ["TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS"]
    assert world.post(sent) == ["CREATED"]


@pytest.mark.parametrize(
    ("held", "asked", "status"),
    [
        ((HALF, 0), (HALF, T.PENDING), "OVERFLOWS_DEBITS_PENDING"),
        ((0, HALF), (HALF, T.NONE), "OVERFLOWS_DEBITS_POSTED"),
        ((HALF, 0), (HALF, T.NONE), "OVERFLOWS_DEBITS"),
        ((0, HALF), (HALF, T.PENDING), "OVERFLOWS_DEBITS_POSTED"),
        ((0, HALF), (HALF - 1, T.NONE), "CREATED"),
    ],
)
def test_sums_stay_below_2_to_the_128(
    world: LedgerSentences, held: tuple[int, int], asked: tuple[int, int], status: str
) -> None:
    """Pending, posted and both together may not overflow 128 bits, the debit side first."""
    debit, credit = world.account(), world.account()
    pending = world.move(debit, credit, held[0], T.PENDING)
    assert world.post(pending, world.move(debit, credit, held[1])) == ["CREATED", "CREATED"]
    assert world.post(world.move(debit, credit, *asked)) == [status]


@pytest.mark.parametrize(
    ("held", "asked", "status"),
    [
        ((HALF, 0), (HALF, T.PENDING), "OVERFLOWS_CREDITS_PENDING"),
        ((0, HALF), (HALF, T.NONE), "OVERFLOWS_CREDITS_POSTED"),
        ((HALF, 0), (HALF, T.NONE), "OVERFLOWS_CREDITS"),
    ],
)
def test_sums_of_the_credit_side_stay_below_2_to_the_128(
    world: LedgerSentences, held: tuple[int, int], asked: tuple[int, int], status: str
) -> None:
    """The credit side is checked where the debit side has room."""
    one, two, credit = world.account(), world.account(), world.account()
    pending = world.move(one, credit, held[0], T.PENDING)
    assert world.post(pending, world.move(one, credit, held[1])) == ["CREATED", "CREATED"]
    assert world.post(world.move(two, credit, *asked)) == [status]


@pytest.mark.parametrize(
    ("balance", "asked", "amounts", "left"),
    [
        (60, 100, [100, 60, 40], 0),
        (0, 30, [30, 0, 30], 0),
        (100, 30, [30, 30, 0], 70),
    ],
)
def test_a_shortfall_is_split_in_one_chain(
    world: LedgerSentences, balance: int, asked: int, amounts: list[int], left: int
) -> None:
    """What the wallet lacks comes from the receivable; the control account ends at zero."""
    wallet = world.wallet(balance)
    control, clearing, receivable = world.account(), world.account(), world.account()
    legs = world.chain(
        world.move(control, clearing, asked),
        world.move(wallet, control, asked, T.BALANCING_DEBIT),
        world.move(receivable, control, asked, T.BALANCING_CREDIT),
    )
    assert world.post(*legs) == ["CREATED"] * 3
    assert world.amounts(*legs) == amounts
    _, debits, _, credits_ = world.balances(wallet)
    assert credits_ - debits == left
    assert world.balances(control) == (0, asked, 0, asked)
    assert world.post(*legs) == ["EXISTS", FAILED, FAILED]


@pytest.mark.parametrize(
    ("again", "status"),
    [
        (100, "EXISTS"),
        (60, "EXISTS"),
        (59, "EXISTS_WITH_DIFFERENT_AMOUNT"),
    ],
)
def test_a_balancing_transfer_asked_again_may_ask_for_more(
    world: LedgerSentences, again: int, status: str
) -> None:
    """The amount asked for by a balancing transfer is a limit: held 60, any from 60 on is equal."""
    sent = world.move(world.wallet(60), world.account(), 100, T.BALANCING_DEBIT)
    assert world.post(sent, sent._replace(amount=again)) == ["CREATED", status]


def test_both_balancing_flags_take_the_smaller(world: LedgerSentences) -> None:
    """With both flags a transfer moves what both sides allow."""
    capped = world.account()
    assert world.post(world.move(capped, world.account(), 25)) == ["CREATED"]
    both = T.BALANCING_DEBIT | T.BALANCING_CREDIT
    sent = world.move(world.wallet(60), capped, MAX, both)
    assert world.post(sent) == ["CREATED"]
    assert world.amounts(sent) == [25]


def test_a_closed_account_takes_no_transfers(world: LedgerSentences) -> None:
    """A closing transfer closes its side until it is voided; the rejected ids stay burned."""
    debit, credit = world.account(), world.account()
    closing = world.move(debit, credit, 0, T.PENDING | T.CLOSING_DEBIT)
    out, back = world.move(debit, credit, 1), world.move(credit, debit, 1)
    assert world.post(closing, out, back) == [
        "CREATED",
        "DEBIT_ACCOUNT_ALREADY_CLOSED",
        "CREDIT_ACCOUNT_ALREADY_CLOSED",
    ]
    assert world.held(debit).flags == A.CLOSED
    post = world.settle(T.POST_PENDING_TRANSFER, closing, MAX)
    assert world.post(post) == ["DEBIT_ACCOUNT_ALREADY_CLOSED"]
    void = world.settle(T.VOID_PENDING_TRANSFER, closing, 0)
    assert world.post(void, out, world.move(debit, credit, 1)) == [
        "CREATED",
        "ID_ALREADY_FAILED",
        "CREATED",
    ]
    assert world.held(debit).flags == 0


def test_closing_both_sides(world: LedgerSentences) -> None:
    """One transfer may close both its accounts."""
    debit, credit = world.account(LIMITED), world.account()
    flags = T.PENDING | T.CLOSING_DEBIT | T.CLOSING_CREDIT
    assert world.post(world.move(debit, credit, 0, flags)) == ["CREATED"]
    assert [world.held(account).flags for account in (debit, credit)] == [LIMITED | 32, 32]


def test_nothing_sent_is_nothing_answered(world: LedgerSentences) -> None:
    """A request of no rows has no results."""
    assert world.ledger.create_accounts(b"") == []
    assert world.ledger.create_transfers(b"") == []


def test_imported_events_keep_their_own_time(world: LedgerSentences) -> None:
    """Imported accounts and transfers are stored at the times given, which may not go back."""
    debit, credit = world.account(), world.account()
    newest = world.held(credit).timestamp

    def imported(offset: int, flags: int = T.NONE) -> Transfer:
        return world.move(debit, credit, 1, T.IMPORTED | flags, timestamp=newest + offset)

    rows = [
        imported(0),
        imported(2),
        imported(1),
        imported(3, T.PENDING)._replace(timeout=1),
        imported(4)._replace(flags=0, timestamp=0),
        imported(4),
    ]
    assert world.post(*rows) == [
        "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS",
        "CREATED",
        "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS",
        "IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO",
        "IMPORTED_EVENT_EXPECTED",
        "CREATED",
    ]
    held = world.ledger.lookup_transfers([row.id for row in rows])
    assert [row.timestamp - newest for row in held] == [2, 4]
    account = Account(id=world.new_id(), ledger=world.number, code=1, flags=A.IMPORTED)
    assert world.open_accounts(
        account._replace(timestamp=newest + 2),
        account._replace(timestamp=newest + 3),
        account._replace(timestamp=newest + 3),
    ) == ["IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS", "CREATED", "EXISTS"]
    assert world.post(imported(5)._replace(flags=0), imported(6)) == [
        "TIMESTAMP_MUST_BE_ZERO",
        "IMPORTED_EVENT_NOT_EXPECTED",
    ]


def test_imported_transfers_come_after_their_accounts(world: LedgerSentences) -> None:
    """An imported transfer must be later than both its accounts."""
    old = world.account()
    base = world.held(old).timestamp
    young = world.account()
    for debit, credit, status in (
        (young, old, "IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT"),
        (old, young, "IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT"),
    ):
        row = world.move(debit, credit, 1, T.IMPORTED, timestamp=base + 1)
        assert world.post(row) == [status]
