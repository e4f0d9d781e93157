"""Posted balances, each with the ledger's time at which it was true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from worker.core.ports import Ledger
from worker.ledger.request_split import request_parts


class Net(NamedTuple):
    """A balance.

    amount: credits minus debits, posted, in minor units.
    timestamp: the ledger's time of the reading, in nanoseconds: every transfer up to it is in the
        amount, and none after it.
    """

    amount: int
    timestamp: int


def read_nets(ledger: Ledger, ids: Sequence[int]) -> dict[int, Net]:
    """The balance of each account; one that does not exist is left out.

    Raises:
        DependencyUnavailable: the ledger did not answer in time.
    """
    found: dict[int, Net] = {}
    for part in request_parts(ids, ledger.batch_max):
        now = ledger.accounts_now(part)
        for account in now.accounts:
            net = account.credits_posted - account.debits_posted
            found[account.id] = Net(net, now.time_ns)
    return found
