"""What became of an event: the verdict of each ledger status, and the rule of announcing once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from worker.core.chain import BALANCING, LINKED, AccountRef, Chain, Leg, LegSpec
from worker.core.event import Dead, Reason
from worker.core.money import Currency
from worker.core.wire import (
    AMOUNT_MAX,
    Account,
    AccountFlags,
    CreateTransferStatus,
    Transfer,
)

_CLOSED: Final = int(AccountFlags.CLOSED)


class OutcomeKind(StrEnum):
    """The outcome of an event; each event has exactly one."""

    POSTED = "posted"
    REDELIVERED = "redelivered"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    DEAD = "dead"
    PARKED = "parked"
    IGNORED = "ignored"
    NOTHING = "nothing_to_post"


class Rejection(NamedTuple):
    """Why the ledger refused an event: the leg that failed and its status in lower_snake_case."""

    leg: str
    reason: str


class Outcome(NamedTuple):
    """What became of one event, and what is announced of it.

    transaction: the rulebook's, empty where no rule was reached.
    legs: to announce on the outbox; empty where they were announced before.
    rejection: to announce on the rejected topic.
    dead: why it goes to the dead-letter topic or, parked, to a parked topic.
    alert: one sentence for the log where a person should look, else empty.
    """

    kind: OutcomeKind
    attempt: int = 0
    transaction: str = ""
    legs: tuple[PostedLeg, ...] = ()
    rejection: Rejection | None = None
    dead: Dead | None = None
    alert: str = ""


class Verdict(Enum):
    """What one status of the ledger means for its chain."""

    CREATED = "created"
    ELSEWHERE = "another leg of the chain decides"
    EXISTS = "look the chain up and compare"
    REJECTED = "the ledger refuses it, for good"
    FAILED_BEFORE = "the ledger refused it before"
    CONFLICT = "same key, other money"
    SAME_ACCOUNT = "money from an account to itself"
    OVERFLOW = "more than the ledger can count"
    BROKEN = "our bug: stop"


def _verdict(status: CreateTransferStatus) -> Verdict:  # noqa: PLR0911 - one line per verdict
    name = status.name
    if status is CreateTransferStatus.CREATED:
        return Verdict.CREATED
    if status is CreateTransferStatus.LINKED_EVENT_FAILED:
        return Verdict.ELSEWHERE
    if name.startswith("EXISTS"):
        return Verdict.EXISTS
    if status in _REJECTED:
        return Verdict.REJECTED
    if status is CreateTransferStatus.ID_ALREADY_FAILED:
        return Verdict.FAILED_BEFORE
    if status in _CONFLICT:
        return Verdict.CONFLICT
    if status is CreateTransferStatus.ACCOUNTS_MUST_BE_DIFFERENT:
        return Verdict.SAME_ACCOUNT
    if name.startswith("OVERFLOWS"):
        return Verdict.OVERFLOW
    return Verdict.BROKEN


_REJECTED: Final = frozenset(
    {
        CreateTransferStatus.EXCEEDS_CREDITS,
        CreateTransferStatus.EXCEEDS_DEBITS,
        CreateTransferStatus.DEBIT_ACCOUNT_ALREADY_CLOSED,
        CreateTransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED,
        CreateTransferStatus.PENDING_TRANSFER_ALREADY_POSTED,
        CreateTransferStatus.PENDING_TRANSFER_ALREADY_VOIDED,
        CreateTransferStatus.PENDING_TRANSFER_EXPIRED,
        CreateTransferStatus.EXCEEDS_PENDING_TRANSFER_AMOUNT,
    }
)

_CONFLICT: Final = frozenset(
    {
        CreateTransferStatus.PENDING_TRANSFER_NOT_PENDING,
        CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID,
        CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID,
        CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER,
        CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_CODE,
        CreateTransferStatus.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT,
    }
)

_ACCOUNT_CLOSED: Final = frozenset(
    {
        CreateTransferStatus.DEBIT_ACCOUNT_ALREADY_CLOSED,
        CreateTransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED,
    }
)

VERDICTS: Final[Mapping[int, Verdict]] = {
    int(status): _verdict(status) for status in CreateTransferStatus
}


DEAD: Final[Mapping[Verdict, Reason]] = {
    Verdict.CONFLICT: Reason.CONFLICT,
    Verdict.SAME_ACCOUNT: Reason.SAME_ACCOUNT,
    Verdict.OVERFLOW: Reason.OVERFLOW,
}
"""Verdicts that end in the dead-letter topic, and why."""


class ChainResult(NamedTuple):
    """The ledger's answer to a whole chain: the verdict, and the leg and status that decided it."""

    verdict: Verdict
    leg_number: int
    status: int

    def reason(self) -> str:
        """The status as announcements spell it."""
        try:
            return CreateTransferStatus(self.status).name.lower()
        except ValueError:
            return f"status_{self.status}"


CREATED: Final = int(CreateTransferStatus.CREATED)
ALL_CREATED: Final = ChainResult(Verdict.CREATED, 0, CREATED)


def chain_result(statuses: Sequence[int]) -> ChainResult:
    """What the statuses of a chain's legs say together; at least one leg."""
    if statuses.count(CREATED) == len(statuses):
        return ALL_CREATED
    deciding = ChainResult(Verdict.BROKEN, 0, statuses[0])
    for number, status in enumerate(statuses):
        verdict = VERDICTS.get(status, Verdict.BROKEN)
        if verdict not in {Verdict.CREATED, Verdict.ELSEWHERE}:
            return ChainResult(verdict, number, status)
    return deciding


def diverts(answer: ChainResult) -> bool:
    """Is a chain that has suspense accounts sent to them after this answer?"""
    return answer.verdict is Verdict.FAILED_BEFORE or answer.status in _ACCOUNT_CLOSED


def same_chain(chain: Chain, stored: Sequence[Transfer], found: Mapping[int, Transfer]) -> bool:
    """Does the ledger hold this whole chain as the rulebook says, position aside?

    stored: its transfers that are in the ledger, in the order of its legs. found: the transfers
    looked up, by id, among them those that its posts and voids settle.
    """
    if len(stored) != len(chain.legs):
        return False
    return all(
        same_money(
            leg,
            transfer,
            number=number,
            count=len(stored),
            tag=chain.tag,
            reserved=next((found[each] for each in leg.pending_ids if each in found), None),
        )
        for number, (leg, transfer) in enumerate(zip(chain.legs, stored, strict=True))
    )


def same_money(  # noqa: PLR0913 - a leg, where it stands in its chain, and what the ledger has
    leg: Leg,
    stored: Transfer,
    *,
    number: int,
    count: int,
    tag: int,
    reserved: Transfer | None,
) -> bool:
    """Does the ledger hold this leg as the rulebook says, position aside?

    reserved: the pending transfer of a post or void, as looked up. A balancing leg may have moved
    less than requested, because that depends on the balance at that moment.
    """
    spec = leg.spec
    flags = spec.flags | (LINKED if number < count - 1 else 0)
    fixed = (
        stored.user_data_128 == tag
        and stored.user_data_32 == number << 16 | count
        and stored.flags == flags
        and stored.timeout == spec.timeout
    )
    if leg.pending_ids:
        return (
            fixed
            and reserved is not None
            and stored.pending_id == reserved.id
            and stored.amount == _settled_amount(leg, reserved)
        )
    return (
        fixed
        and leg.debit is not None
        and leg.credit is not None
        and stored.debit_account_id == leg.debit.id
        and stored.credit_account_id == leg.credit.id
        and stored.ledger == leg.currency.ledger
        and stored.code == spec.code
        and (stored.amount <= leg.amount if spec.flags & BALANCING else stored.amount == leg.amount)
    )


def _settled_amount(leg: Leg, reserved: Transfer) -> int:
    if leg.amount == AMOUNT_MAX or (leg.spec.kind == "void" and leg.amount == 0):
        return reserved.amount
    return leg.amount


class ExistingChain(Enum):
    """What to do about a chain that the ledger already holds."""

    ANNOUNCE = "posted by this very record and not announced yet"
    COUNT = "a redelivery, announced where it was posted"
    ANNOUNCE_AS_STORED = "posted by this record under another rulebook, not announced yet"
    COUNT_AS_STORED = "posted by this record under another rulebook, announced"
    CONFLICT = "another record posted other money under this key"


def existing_verdict(  # noqa: PLR0913 - both positions and their times
    *,
    same: bool,
    stored_position: int,
    stored_at: int,
    position: int,
    since: int,
    earlier: Mapping[int, int] | None = None,
) -> ExistingChain:
    """The announcing rule for a chain that exists.

    stored_position: `user_data_64` of the stored chain.
    stored_at: its ledger timestamp, nanoseconds.
    position: of the record at hand.
    since: from when on this group announces for the partition, nanoseconds.
    earlier: a parked record's earlier positions, each with its `since`.
    """
    answered = {position: since, **(earlier or {})}
    ours = stored_position in answered
    unannounced = ours and stored_at > answered[stored_position]
    if same:
        return ExistingChain.ANNOUNCE if unannounced else ExistingChain.COUNT
    if not ours:
        return ExistingChain.CONFLICT
    return ExistingChain.ANNOUNCE_AS_STORED if unannounced else ExistingChain.COUNT_AS_STORED


def announce_rejected_before(*, offset: int, redo: int, tries: int = 0) -> bool:
    """Is an `id_already_failed` announced, because its first announcement may be missing?

    redo: the highest offset that may have been submitted before this assignment or the last abort
    without its commit; -1 when there is none. tries: how often the event was parked; an earlier
    worker may have had it refused without announcing it.
    """
    return tries > 0 or offset <= redo


def account_conflict(stored: Account, row: Account) -> bool:
    """Does the ledger hold this account otherwise than declared? Being closed is no difference."""
    return (
        stored.flags & ~_CLOSED != row.flags & ~_CLOSED
        or stored.user_data_128 != row.user_data_128
        or stored.user_data_64 != row.user_data_64
        or stored.user_data_32 != row.user_data_32
        or stored.ledger != row.ledger
        or stored.code != row.code
    )


def missing_predecessor(chain: Chain, missing: Dead, *, tries: int, tries_max: int) -> Outcome:
    """The predecessor is not in the ledger: park the event, or give up after the last wait.

    tries: how often the event was parked before.
    """
    if tries < tries_max:
        return Outcome(OutcomeKind.PARKED, chain.attempt, chain.transaction, dead=missing)
    if missing.or_nothing:
        return Outcome(OutcomeKind.NOTHING, chain.attempt, chain.transaction)
    given_up = f"{missing.detail}; parked {tries} times before" if tries else missing.detail
    return ledger_dead_letter(chain, Reason.PREDECESSOR_MISSING, given_up)


def ledger_dead_letter(chain: Chain, reason: Reason, detail: str) -> Outcome:
    """A dead letter after translation."""
    kind = OutcomeKind.CONFLICT if reason is Reason.CONFLICT else OutcomeKind.DEAD
    return Outcome(kind, chain.attempt, chain.transaction, dead=Dead(reason, detail))


class PostedLeg(NamedTuple):
    """One posted leg as stored in the ledger: what is announced.

    amount: minor units.
    pending_id: of the reservation that a post or void settles; 0 for any other leg.
    flags: LINKED included.
    timestamp: the ledger's, nanoseconds since 1970.
    leg_number, leg_count: from `user_data_32`.
    timeout: seconds until a reservation expires; 0 for none.
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
    timeout: int
