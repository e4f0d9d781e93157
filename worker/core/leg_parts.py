"""The transfers that one leg of a rule makes: one, or several through the control account.

| leg                 | transfers, in order                                                     |
|---------------------|-------------------------------------------------------------------------|
| plain               | debit to credit                                                         |
| `shortfall`         | control to credit; debit to control; shortfall to control               |
| `repay_first`       | debit to control; control to the repaid one; control to credit          |
| `total`, 300 before | noted to control 300; control to noted 900; debit to control 600;       |
| and 900 now         | control to counter 300; counter to control 900; control to credit 600   |

Each balancing transfer moves at most what its account has: so the chain ends with the control
account at zero, whatever was there before.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from worker.core.rulebook import LegRule, Use
from worker.core.wire import TransferFlags

BALANCING_DEBIT: Final = int(TransferFlags.BALANCING_DEBIT)
BALANCING_CREDIT: Final = int(TransferFlags.BALANCING_CREDIT)
BOTH: Final = BALANCING_DEBIT | BALANCING_CREDIT


class LegPart(NamedTuple):
    """One transfer of a leg.

    name: "" for the leg's own; hashed into its id.
    flags: wire.TransferFlags that the part adds.
    debit, credit: None is the control account, or the reserved one of a post or void.
    """

    name: str
    flags: int
    debit: Use | None
    credit: Use | None


def leg_parts(leg: LegRule) -> tuple[LegPart, ...]:
    """Every transfer of a leg, in the order of its chain."""
    if leg.total is not None:
        return tuple(_running_total(leg))
    if leg.shortfall is not None:
        return (LegPart("", 0, None, leg.credit), *_taken(leg, BALANCING_DEBIT))
    if leg.repay_first is not None:
        return (LegPart("", 0, leg.debit, None), *_given(leg, BALANCING_CREDIT))
    return (LegPart("", 0, leg.debit, leg.credit),)


def _running_total(leg: LegRule) -> list[LegPart]:
    """What is more than was told before; two accounts note the total, one for each side of the leg.

    What was told before goes to the control account, and the new total comes from it: what it then
    lacks is the difference, which the debited account gives. So for the credited one, turned round.
    A smaller total than before moves nothing.
    """
    total = leg.total
    noted, counter = (total.noted, total.counter) if total else (None, None)
    return [
        LegPart("before", BALANCING_DEBIT, noted, None),
        LegPart("", 0, None, noted),
        *_taken(leg, BOTH),
        LegPart("counter_before", BALANCING_CREDIT, None, counter),
        LegPart("counter", 0, counter, None),
        *_given(leg, BOTH),
    ]


def _taken(leg: LegRule, flags: int) -> list[LegPart]:
    """From the debited account to the control account. flags: where a helper gives the rest."""
    if leg.shortfall is None:
        return [LegPart("taken", BALANCING_CREDIT, leg.debit, None)]
    return [
        LegPart("account", flags, leg.debit, None),
        LegPart("shortfall", BALANCING_CREDIT, leg.shortfall, None),
    ]


def _given(leg: LegRule, flags: int) -> list[LegPart]:
    """From the control account to the credited one. flags: where another is repaid first."""
    if leg.repay_first is None:
        return [LegPart("given", BALANCING_DEBIT, None, leg.credit)]
    return [
        LegPart("shortfall", flags, None, leg.repay_first),
        LegPart("account", BALANCING_DEBIT, None, leg.credit),
    ]
