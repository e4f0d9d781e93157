"""The outcome table: every answer of the ledger, and the rule of announcing once."""

from __future__ import annotations

import pytest

from worker.core.outcome import (
    DEAD,
    VERDICTS,
    ExistingChain,
    Verdict,
    announce_rejected_before,
    chain_result,
    diverts,
    existing_verdict,
)
from worker.core.wire import CreateTransferStatus as S

REJECTED = {
    S.EXCEEDS_CREDITS,
    S.EXCEEDS_DEBITS,
    S.DEBIT_ACCOUNT_ALREADY_CLOSED,
    S.CREDIT_ACCOUNT_ALREADY_CLOSED,
    S.PENDING_TRANSFER_ALREADY_POSTED,
    S.PENDING_TRANSFER_ALREADY_VOIDED,
    S.PENDING_TRANSFER_EXPIRED,
    S.EXCEEDS_PENDING_TRANSFER_AMOUNT,
}


def test_every_status_has_a_verdict() -> None:
    """No status of the ledger is left to chance."""
    assert set(VERDICTS) == {int(status) for status in S}


EXISTS = {status for status in S if status.name.startswith("EXISTS")}
OVERFLOW = {
    S.OVERFLOWS_DEBITS_PENDING,
    S.OVERFLOWS_CREDITS_PENDING,
    S.OVERFLOWS_DEBITS_POSTED,
    S.OVERFLOWS_CREDITS_POSTED,
    S.OVERFLOWS_DEBITS,
    S.OVERFLOWS_CREDITS,
    S.OVERFLOWS_TIMEOUT,
}
CONFLICT = {
    S.PENDING_TRANSFER_NOT_PENDING,
    S.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID,
    S.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID,
    S.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER,
    S.PENDING_TRANSFER_HAS_DIFFERENT_CODE,
    S.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT,
}


@pytest.mark.parametrize(
    ("verdict", "statuses"),
    [
        (Verdict.CREATED,       {S.CREATED}),
        (Verdict.ELSEWHERE,     {S.LINKED_EVENT_FAILED}),
        (Verdict.EXISTS,        EXISTS),
        (Verdict.REJECTED,      REJECTED),
        (Verdict.FAILED_BEFORE, {S.ID_ALREADY_FAILED}),
        (Verdict.CONFLICT,      CONFLICT),
        (Verdict.SAME_ACCOUNT,  {S.ACCOUNTS_MUST_BE_DIFFERENT}),
        (Verdict.OVERFLOW,      OVERFLOW),
    ],
)  # fmt: skip
def test_each_verdict_has_these_statuses_and_no_others(verdict: Verdict, statuses: set[S]) -> None:
    """What bad input can cause is named here; anything else is our bug and stops the worker."""
    assert {status for status in S if VERDICTS[status] is verdict} == statuses


def test_an_unfound_account_or_pending_is_our_bug() -> None:
    """Both are made or looked up before posting, so the ledger can miss them only by our fault."""
    for status in (
        S.DEBIT_ACCOUNT_NOT_FOUND,
        S.CREDIT_ACCOUNT_NOT_FOUND,
        S.PENDING_TRANSFER_NOT_FOUND,
    ):
        assert VERDICTS[status] is Verdict.BROKEN


def test_dead_verdicts_have_reasons() -> None:
    """Each verdict that ends in the dead-letter topic says why."""
    assert set(DEAD) == {Verdict.CONFLICT, Verdict.SAME_ACCOUNT, Verdict.OVERFLOW}


@pytest.mark.parametrize(
    ("statuses", "verdict", "leg"),
    [
        ([S.CREATED],                                          Verdict.CREATED,       0),
        ([S.CREATED, S.CREATED],                               Verdict.CREATED,       0),
        ([S.EXISTS, S.LINKED_EVENT_FAILED],                    Verdict.EXISTS,        0),
        ([S.LINKED_EVENT_FAILED, S.EXCEEDS_CREDITS],           Verdict.REJECTED,      1),
        ([S.LINKED_EVENT_FAILED, S.ID_ALREADY_FAILED],         Verdict.FAILED_BEFORE, 1),
        ([S.EXISTS_WITH_DIFFERENT_FLAGS],                      Verdict.EXISTS,        0),
        ([S.ACCOUNTS_MUST_BE_DIFFERENT, S.LINKED_EVENT_FAILED], Verdict.SAME_ACCOUNT, 0),
        ([S.OVERFLOWS_DEBITS],                                 Verdict.OVERFLOW,      0),
        ([S.LINKED_EVENT_FAILED, S.LINKED_EVENT_FAILED],       Verdict.BROKEN,        0),
        ([S.CREATED, S.LINKED_EVENT_FAILED],                   Verdict.BROKEN,        0),
        ([12345],                                              Verdict.BROKEN,        0),
    ],
)  # fmt: skip
def test_one_leg_decides_for_the_chain(statuses: list[int], verdict: Verdict, leg: int) -> None:
    """The first leg that failed by itself says what became of all."""
    found = chain_result([int(status) for status in statuses])
    assert (found.verdict, found.leg_number) == (verdict, leg)
    assert found.status == int(statuses[leg])


def test_suspense_takes_what_a_closed_account_refused_and_what_was_refused_before() -> None:
    """Nothing else: an overdraft is no reason to book the money elsewhere."""
    diverted = {status for status in S if diverts(chain_result([int(status)]))}
    assert diverted == {
        S.DEBIT_ACCOUNT_ALREADY_CLOSED,
        S.CREDIT_ACCOUNT_ALREADY_CLOSED,
        S.ID_ALREADY_FAILED,
    }


@pytest.mark.parametrize(
    ("same", "stored_position", "stored_at", "rule"),
    [
        (True,  7, 101, ExistingChain.ANNOUNCE),
        (True,  7, 100, ExistingChain.COUNT),
        (True,  8, 101, ExistingChain.COUNT),
        (False, 7, 101, ExistingChain.ANNOUNCE_AS_STORED),
        (False, 7, 100, ExistingChain.COUNT_AS_STORED),
        (False, 8, 101, ExistingChain.CONFLICT),
    ],
)  # fmt: skip
def test_an_existing_chain(
    *, same: bool, stored_position: int, stored_at: int, rule: ExistingChain
) -> None:
    """Only what this record posted after `since` is announced; other money elsewhere conflicts."""
    found = existing_verdict(
        same=same, stored_position=stored_position, stored_at=stored_at, position=7, since=100
    )
    assert found is rule


@pytest.mark.parametrize(
    ("offset", "redo", "announced"), [(5, 5, True), (6, 5, False), (0, -1, False)]
)
def test_rejected_before(*, offset: int, redo: int, announced: bool) -> None:
    """A burned id is announced only where its first announcement may be missing."""
    assert announce_rejected_before(offset=offset, redo=redo) is announced


def test_a_parked_record_answers_for_where_it_was() -> None:
    """What was posted from an earlier position is announced, by the `since` it had there."""

    def rule(stored_at: int, earlier: dict[int, int]) -> ExistingChain:
        return existing_verdict(
            same=True,
            stored_position=5,
            stored_at=stored_at,
            position=7,
            since=100,
            earlier=earlier,
        )

    assert rule(50, {5: 40}) is ExistingChain.ANNOUNCE
    assert rule(50, {5: 50}) is ExistingChain.COUNT
    assert rule(200, {6: 0}) is ExistingChain.COUNT
    assert announce_rejected_before(offset=9, redo=-1, tries=1)
