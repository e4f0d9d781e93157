"""Reading all of a ledger page by page gives what one large answer gives, at every bound."""

from __future__ import annotations

from itertools import count

import pytest

from worker.core.wire import (
    Account,
    AccountFilter,
    QueryFilter,
    Transfer,
    pack_account,
    pack_transfer,
)
from worker.ledger.embedded import EmbeddedLedger
from worker.ledger.scan import account_transfers, all_accounts, all_transfers

MOVES = ((1, 2), (2, 3), (1, 3), (3, 1), (2, 1), (1, 2), (3, 2))
"""Seven transfers, in pages of at most three."""


@pytest.fixture(params=[1, 3, 7, 8])
def ledger(request: pytest.FixtureRequest) -> EmbeddedLedger:
    """Whose answers hold so many rows; its clock stands, so that times are one apart."""
    made = EmbeddedLedger(batch_max=request.param, now_ns=lambda: 1000)
    for number in (1, 2, 3):
        made.create_accounts(pack_account(Account(id=number, ledger=9, code=number % 2 + 1)))
    for number, (debit, credit) in zip(count(10), MOVES, strict=False):
        row = Transfer(number, debit, credit, number, ledger=9, code=1)
        made.create_transfers(pack_transfer(row))
    return made


def test_any_range_of_transfers(ledger: EmbeddedLedger) -> None:
    """The start belongs to it, the end does not, and 0 is no end."""
    whole = [found for number in range(10, 17) for found in ledger.lookup_transfers([number])]
    times = [found.timestamp for found in whole]
    bounds = [0, times[0] - 1, *times, times[-1] + 1, times[-1] + 2]
    assert list(all_transfers(ledger)) == whole
    for start in bounds:
        for end in bounds:
            expected = [
                each
                for each in whole
                if each.timestamp >= start and (not end or each.timestamp < end)
            ]
            assert list(all_transfers(ledger, start_ns=start, end_ns=end)) == expected
            for account in (1, 2, 3, 4):
                own = [
                    each
                    for each in expected
                    if account in {each.debit_account_id, each.credit_account_id}
                ]
                found = account_transfers(ledger, account, start_ns=start, end_ns=end)
                assert list(found) == own


def test_all_accounts_of_a_code(ledger: EmbeddedLedger) -> None:
    """From a time on; of all codes for 0."""
    whole = [found for number in (1, 2, 3) for found in ledger.lookup_accounts([number])]
    for code in (0, 1, 2, 3):
        for start in (0, *(each.timestamp for each in whole), whole[-1].timestamp + 1):
            expected = [
                each for each in whole if each.timestamp >= start and code in {0, each.code}
            ]
            assert list(all_accounts(ledger, code=code, start_ns=start)) == expected


def test_nobody_else_s_filter_is_wider_than_a_page(ledger: EmbeddedLedger) -> None:
    """The pages are the ledger's own: without more than one, the test would see nothing."""
    assert len(ledger.query_transfers(QueryFilter())) == min(ledger.batch_max, len(MOVES))
    assert len(ledger.account_transfers(AccountFilter(1))) == min(ledger.batch_max, 5)
