"""The fixed part of every leg, and the legs of a chain that is diverted to suspense."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from worker.core.chain import LegSpec, leg_spec
from worker.core.leg_parts import BALANCING_CREDIT, BALANCING_DEBIT, leg_parts
from worker.core.rulebook import LegRule, Rulebook, Transaction
from worker.core.wire import TransferFlags

SUSPENSE: Final = "suspense"
"""The part that every leg of a diverted chain has, after its own where it has one."""


def leg_specs(rulebook: Rulebook) -> dict[tuple[str, str], LegSpec]:
    """The fixed part of every leg and part, by transaction and announced name (`loss.account`)."""
    found = {}
    for transaction in rulebook.transactions:
        for leg in (*transaction.legs, *diverted_legs(transaction)):
            for spec in _specs(transaction.name, leg):
                found[transaction.name, spec.name] = spec
    return found


def diverted_legs(transaction: Transaction) -> list[LegRule]:
    """The legs of the chain that is sent when the ledger has closed an account of the first one.

    A leg with a suspense account is one plain transfer from or to it, without helper accounts; what
    suspense has does not limit it.
    """
    if not transaction.suspends:
        return []
    return [_diverted(leg) for leg in transaction.legs]


def _diverted(leg: LegRule) -> LegRule:
    spared = replace(leg, diverted=True)
    if leg.suspense is None:
        return spared
    plain = replace(spared, shortfall=None, repay_first=None)
    if leg.suspense.side == "debit":
        flags = leg.flags & ~BALANCING_DEBIT
        return replace(plain, debit=leg.suspense.use, flags=flags)
    return replace(plain, credit=leg.suspense.use, flags=leg.flags & ~BALANCING_CREDIT)


def _specs(transaction: str, leg: LegRule) -> list[LegSpec]:
    flags = leg.flags | int(
        {
            "posted": TransferFlags.NONE,
            "pending": TransferFlags.PENDING,
            "post": TransferFlags.POST_PENDING_TRANSFER,
            "void": TransferFlags.VOID_PENDING_TRANSFER,
        }[leg.kind]
    )
    return [
        leg_spec(
            transaction=transaction,
            leg=leg.name,
            part=part_name(leg, part.name),
            kind=leg.kind,
            code=leg.code,
            flags=part.flags if part.name else flags | part.flags,
            timeout=leg.timeout,
        )
        for part in leg_parts(leg)
    ]


def part_name(leg: LegRule, part: str) -> str:
    """The part as it is hashed and announced."""
    return ".".join(filter(None, (part, SUSPENSE if leg.diverted else "")))
