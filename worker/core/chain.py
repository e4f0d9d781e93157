"""What an event asks the ledger to do: one atomic chain of legs, and its 128-byte rows.

The invariant: a chain's rows depend on the event and the rulebook alone, but for `user_data_64`,
the position of the record that posts it. Imports the pure core only. Leg, Chain and AccountRef are
plain tuples because four to eight of them are made for every event.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from worker.core.event import Event
from worker.core.ids import account_user_data, leg_suffix
from worker.core.wire import ACCOUNT_ROW, AMOUNT_MAX, TRANSFER_ROW, TransferFlags

if TYPE_CHECKING:
    from worker.core.predecessors import Needs

TransferKind = Literal["posted", "pending", "post", "void"]

LINKED: Final = int(TransferFlags.LINKED)
BALANCING: Final = int(TransferFlags.BALANCING_DEBIT | TransferFlags.BALANCING_CREDIT)
CLOSING: Final = int(TransferFlags.CLOSING_DEBIT | TransferFlags.CLOSING_CREDIT)
NO_ID: Final = bytes(16)
_NO_BALANCES: Final = (bytes(16),) * 4

new: Final = tuple.__new__
"""`new(Leg, (…))` makes a Leg of all its fields at a quarter of its own constructor's cost.

It does not count them; a test does, for every record that is made so.
"""


class Currency(NamedTuple):
    """One TigerBeetle ledger. scale: minor digits in Stripe's convention (jpy 0, usd 2, kwd 3)."""

    name: str
    ledger: int
    scale: int


class AccountRef(NamedTuple):
    """One account that a leg names: a declared account, or one member of a family."""

    id: int
    name: str
    key: str
    ledger: int
    code: int
    flags: int

    def row(self) -> bytes:
        """The 128-byte row that makes this account."""
        number, _, key, ledger, code, flags = self
        wide, middle, narrow = account_user_data(key)
        # fmt: off
        return ACCOUNT_ROW.pack(
            number.to_bytes(16, "little"), *_NO_BALANCES,
            wide.to_bytes(16, "little"), middle, narrow, 0, ledger, code, flags, 0,
        )


@dataclass(frozen=True, slots=True, eq=False)
class LegSpec:
    """What the rulebook fixes about a leg, or one part of it. Compared by identity.

    leg: the rulebook's name of the leg: identity, because it is hashed into ids.
    part: "" for the leg itself; "account" and "shortfall" for the parts of a shortfall; with
        "suspense" at the end where the chain was diverted.
    flags: TransferFlags without LINKED, which depends on the place in the chain.
    timeout: seconds, for a pending leg; 0 means none.
    code: 0 for a post or void without one: the ledger then takes the pending transfer's.
    """

    transaction: str
    leg: str
    part: str
    kind: TransferKind
    code: int
    flags: int
    timeout: int
    suffix: bytes
    """`leg_suffix` without item at attempt 0, made once."""

    @property
    def name(self) -> str:
        """The leg as announcements call it: `share`, `loss.account`, `loss.shortfall`."""
        return f"{self.leg}.{self.part}" if self.part else self.leg


def kind_of(flags: int) -> TransferKind:
    """What a transfer with these flags is called in announcements."""
    if flags & TransferFlags.PENDING:
        return "pending"
    if flags & TransferFlags.POST_PENDING_TRANSFER:
        return "post"
    return "void" if flags & TransferFlags.VOID_PENDING_TRANSFER else "posted"


def leg_spec(  # noqa: PLR0913 - one argument per field
    *,
    transaction: str,
    leg: str,
    part: str = "",
    kind: TransferKind = "posted",
    code: int,
    flags: int = 0,
    timeout: int = 0,
) -> LegSpec:
    """A leg's fixed part, with its hashed suffix."""
    suffix = leg_suffix(leg, "", part, 0)
    return LegSpec(transaction, leg, part, kind, code, flags, timeout, suffix)


class Leg(NamedTuple):
    """One transfer of a chain.

    debit, credit: None for a post or void, which takes the accounts of its pending transfer.
    amount: minor units asked for; a balancing leg may hold less. AMOUNT_MAX posts all that was
        reserved, 0 voids all.
    pending_ids: for a post or void, the ids its pending transfer may have, by attempt.
    """

    spec: LegSpec
    currency: Currency
    id: int
    debit: AccountRef | None
    credit: AccountRef | None
    amount: int
    pending_ids: tuple[int, ...] = ()


class Chain(NamedTuple):
    """The legs of one event: all or none.

    key: what makes the event unique (`event/evt_1`, `charge/ch_1`); tag: BLAKE2b-128 of it.
    sync: flush the batch at once (`execution: sync`, `priority: high`).
    needs: earlier chains that must be in the ledger, and the accounts to take from them.
    suspends: may be sent again to suspense accounts when the ledger has closed one of its own.
    diverted: this is that chain.
    """

    event: Event
    transaction: str
    key: str
    tag: int
    attempt: int
    legs: tuple[Leg, ...]
    sync: bool
    needs: Needs | None = None
    suspends: bool = False
    diverted: bool = False

    def accounts(self) -> Iterator[AccountRef]:
        """Every account that the chain names; an account may come more than once."""
        for leg in self.legs:
            if leg.debit is not None and leg.credit is not None:
                yield leg.debit
                yield leg.credit


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

    The second check of every leg: translation made the first. A flaw here is our bug.
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


class PostedLeg(NamedTuple):
    """One leg as the ledger holds it: what is announced.

    amount: minor units held. flags: as held, LINKED included. timestamp: the ledger's, in
    nanoseconds. leg_number, leg_count: from `user_data_32`.
    """

    spec: LegSpec
    currency: Currency
    id: int
    debit: AccountRef
    credit: AccountRef
    amount: int
    pending_id: int
    code: int
    flags: int
    timestamp: int
    leg_number: int
    leg_count: int
