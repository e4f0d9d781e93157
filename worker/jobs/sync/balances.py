"""Posted balances, each as it was right after the transfer of its ledger timestamp."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from worker.core.errors import DependencyUnavailable
from worker.core.ports import Ledger
from worker.core.wire import Account, AccountBalance, AccountFilter, AccountFlags

SETTLE_TRIES_MAX: Final = 20
"""How often an account without history is read until nothing was posted to it meanwhile."""


class Net(NamedTuple):
    """Credits minus debits, posted, in minor units; after the transfer of this timestamp."""

    amount: int
    timestamp: int


def read_nets(ledger: Ledger, ids: Sequence[int]) -> dict[int, Net]:
    """The newest balance of each account; one that does not exist, or never moved, is left out.

    Raises:
        DependencyUnavailable: the ledger did not answer in time, or an account without the flag
            `history` moved at every reading.
    """
    found: dict[int, Net] = {}
    moving: list[int] = []
    for account in ledger.lookup_accounts(ids):
        if not account.flags & AccountFlags.HISTORY:
            moving.append(account.id)
        elif (newest := _from_history(ledger, account.id)) is not None:
            found[account.id] = newest
    for _ in range(SETTLE_TRIES_MAX):
        if not moving:
            return found
        settled = _while_still(ledger, moving)
        found |= settled
        moving = [number for number in moving if number not in settled]
    if moving:
        raise DependencyUnavailable(
            f"{len(moving)} accounts without the flag `history` moved during each of"
            f" {SETTLE_TRIES_MAX} readings, so that no time could be told for their balances"
        )
    return found


def _from_history(ledger: Ledger, number: int) -> Net | None:
    """The last entry of the ledger's own history, which has its time."""
    newest = ledger.account_balances(AccountFilter(number, limit=1, reversed=True))
    return _net(newest[0], newest[0].timestamp) if newest else None


def _while_still(ledger: Ledger, ids: Sequence[int]) -> dict[int, Net]:
    """The balances of those accounts that nothing was posted to meanwhile.

    Without a history a balance has no time of its own: it has the newest transfer's, if that was
    the newest both before and after the balance was read.
    """
    before = _newest(ledger, ids)
    stored = ledger.lookup_accounts(ids)
    after = _newest(ledger, ids)
    return {
        account.id: _net(account, after[account.id])
        for account in stored
        if before[account.id] == after[account.id]
    }


def _newest(ledger: Ledger, ids: Iterable[int]) -> dict[int, int]:
    """The timestamp of each account's newest transfer; 0 where there is none."""
    found = {}
    for number in ids:
        newest = ledger.account_transfers(AccountFilter(number, limit=1, reversed=True))
        found[number] = newest[0].timestamp if newest else 0
    return found


def _net(account: Account | AccountBalance, timestamp: int) -> Net:
    return Net(account.credits_posted - account.debits_posted, timestamp)
