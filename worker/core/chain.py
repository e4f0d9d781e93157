"""What an event asks the ledger to do: one atomic chain of legs.

Legs, chains and accounts are plain tuples, because every event makes four to eight of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from worker.core.event import Event
from worker.core.ids import account_user_data, leg_suffix
from worker.core.money import Currency
from worker.core.rulebook import DeclaredAccount, OriginLeg, Side
from worker.core.wire import ACCOUNT_ROW, TransferFlags, TransferKind

LINKED: Final = int(TransferFlags.LINKED)
BALANCING: Final = int(TransferFlags.BALANCING_DEBIT | TransferFlags.BALANCING_CREDIT)
CLOSING: Final = int(TransferFlags.CLOSING_DEBIT | TransferFlags.CLOSING_CREDIT)
_NO_BALANCES: Final = (bytes(16),) * 4

new: Final = tuple.__new__
"""`new(Leg, (…))` makes a Leg of all its fields at a quarter of its own constructor's cost.

It does not count them; a test does, for every record that is made so.
"""


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
    """What the rulebook fixes about a leg. Compared by identity.

    leg: the rulebook's name of the leg; hashed into ids.
    part: "" for the leg itself; "account" and "shortfall" for the parts of a shortfall; with
        "suspense" at the end where the chain was diverted.
    flags: TransferFlags without LINKED, which depends on the position in the chain.
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
    amount: minor units requested; a balancing leg may move less. AMOUNT_MAX posts all that was
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


class Sought(NamedTuple):
    """One chain that may be the predecessor.

    tag: its user_data_128.
    key_field: its key as a hashed field.
    legs: its transfers that hold accounts.
    """

    transaction: str
    tag: int
    key_field: bytes
    legs: tuple[OriginLeg, ...]


class Need(NamedTuple):
    """A chain that must be in the ledger first.

    sought: the first of these ids that is found counts.
    time_ms: of the ids, milliseconds, where the rule knows it.
    optional: this chain is posted without it.
    text: for messages.
    or_nothing: see `Dead`.
    or_else: after the last wait the event is posted without it.
    """

    sought: tuple[Sought, ...]
    time_ms: int | None
    optional: bool
    text: str
    or_nothing: bool = False
    or_else: bool = False


class Fill(NamedTuple):
    """One account that the origin gives, or that depends on what the ledger has.

    leg, side: of the origin.
    family: take this family's account with the origin account's key.
    otherwise: the account where the origin gives no such account or key.
    known, account: instead of an origin: the second one, where the ledger has the first.
    """

    leg: str
    side: Side
    family: DeclaredAccount | None
    ledger: int
    otherwise: AccountRef | None
    text: str
    known: AccountRef | None = None
    account: AccountRef | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """What a chain needs of the ledger before it is posted."""

    origin: Need | None
    after: Need | None
    fills: tuple[Fill, ...]

    @property
    def tags(self) -> tuple[int, ...]:
        """The user_data_128 of every chain that may be waited for."""
        needs = filter(None, (self.origin, self.after))
        return tuple(sought.tag for need in needs for sought in need.sought)

    @property
    def optional(self) -> bool:
        """May the accounts depend on when the ledger is asked?"""
        origin = self.origin
        by_origin = origin is not None and (origin.optional or origin.or_else)
        return by_origin or any(each.known is not None for each in self.fills)

    def given_up(self) -> Needs:
        """The same of an event that waited long enough: what may go on without, does."""
        if self.origin is None or not self.origin.or_else:
            return self
        return replace(self, origin=self.origin._replace(optional=True))


class Chain(NamedTuple):
    """The legs of one event: all or none.

    key: what makes the event unique (`event/evt_1`, `charge/ch_1`).
    tag: BLAKE2b-128 of the key.
    sync: flush the batch at once (`execution: sync`, `priority: high`).
    needs: earlier chains that must be in the ledger, and the accounts to take from them.
    suspends: may be sent again to suspense accounts when the ledger has closed one of its own.
    diverted: this is that second chain.
    alert: one sentence for the log when it is posted; empty for nearly all.
    more: the rule that books what is more, where the ledger has less; empty for nearly all.
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
    alert: str = ""
    more: str = ""

    def accounts(self) -> Iterator[AccountRef]:
        """Every account that the chain names; an account may come more than once."""
        for leg in self.legs:
            if leg.debit is not None and leg.credit is not None:
                yield leg.debit
                yield leg.credit
