"""A chain's legs as the ledger's 128-byte rows, checked once more before they are sent."""

from __future__ import annotations

from typing import Final

from worker.core.chain import LINKED, Chain
from worker.core.wire import AMOUNT_MAX, TRANSFER_ROW

NO_ID: Final = bytes(16)


def pack_chain(chain: Chain, *, position: int, pending: dict[int, int]) -> bytes:
    """The chain's rows, linked, n × 128 bytes.

    position: of the record that posts it (`user_data_64`).
    pending: for each leg number that posts or voids, the id of the pending transfer found.
    """
    count = len(chain.legs)
    tag = chain.tag.to_bytes(16, "little")
    pack, rows = TRANSFER_ROW.pack, []
    for number, leg in enumerate(chain.legs):
        spec, currency, leg_id, debit, credit, amount, pending_ids = leg
        rows.append(
            pack(
                leg_id.to_bytes(16, "little"),
                debit.id.to_bytes(16, "little") if debit else NO_ID,
                credit.id.to_bytes(16, "little") if credit else NO_ID,
                amount.to_bytes(16, "little"),
                pending[number].to_bytes(16, "little") if pending_ids else NO_ID,
                tag,
                position,
                number << 16 | count,
                spec.timeout,
                currency.ledger,
                spec.code,
                spec.flags | LINKED if number < count - 1 else spec.flags,
                0,
            )
        )
    return b"".join(rows)


def flaw(chain: Chain) -> str:
    """What is wrong with a chain about to be posted; empty when it is sound.

    The second check of every leg, after translation's; a flaw here is our bug.
    """
    for spec, currency, _, debit, credit, amount, pending_ids in chain.legs:
        if not 0 <= amount <= AMOUNT_MAX:
            return f"leg {spec.name}: amount out of range"
        if debit is None or credit is None:
            if not pending_ids:
                return f"leg {spec.name}: no accounts"
        elif debit.id == credit.id:
            return f"leg {spec.name}: debits and credits one account"
        elif debit.id < 0 or credit.id < 0:
            return f"leg {spec.name}: an account of the origin was not filled in"
        elif not debit.ledger == credit.ledger == currency.ledger:
            return f"leg {spec.name}: spans two ledgers"
    return "" if chain.legs else "no legs"
