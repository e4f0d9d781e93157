"""Transfers in the ledger's order as whole chains, whatever stands between them."""

from __future__ import annotations

import pytest

from worker.core.wire import Transfer
from worker.jobs.replay.reannounce import chains_of


def leg(tag: int, number: int, count: int) -> Transfer:
    """One transfer; a foreign one has no number and no count."""
    return Transfer(user_data_128=tag, user_data_32=number << 16 | count)


A, B = [leg(1, number, 3) for number in range(3)], [leg(2, number, 2) for number in range(2)]
ALONE, FOREIGN = leg(3, 0, 1), leg(0, 0, 0)


@pytest.mark.parametrize(
    "chains",
    [
        [],
        [A],
        [A, B],
        [[ALONE], [ALONE]],
        [[ALONE], A, [FOREIGN], [FOREIGN], B, [ALONE]],
        [A[:2]],
        [A[:2], B],
        [A[:1], A],
        [A[1:], B],
        [A[:1], [FOREIGN], B],
        [B[:1], A],
    ],
)
def test_chains_come_out_as_they_went_in(chains: list[list[Transfer]]) -> None:
    """One that is torn is as much of it as there is."""
    found = list(chains_of(each for chain in chains for each in chain))
    if chains and chains[0] == A[1:]:  # no transfer says that the first of a chain is not there
        assert [each for chain in found for each in chain] == [*A[1:], *B]
        assert found[-1] == B
    else:
        assert found == chains
