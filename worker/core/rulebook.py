"""The rulebook as the loader has read and validated it; nothing downstream checks a rule again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from worker.core.event import Reason
from worker.core.expressions.compiler import (
    Evaluate,
    Expression,
    LetKey,
    NamedValues,
    precise_let,
)
from worker.core.money import Currency
from worker.core.topic_rule import Priority, TopicRule
from worker.core.wire import TransferKind

AccountType = Literal["asset", "liability", "equity", "revenue", "expense", "memo"]
Side = Literal["debit", "credit"]
Missing = Literal["dead", "nothing", "else"]

DEBIT_NORMAL: Final[frozenset[AccountType]] = frozenset({"asset", "expense"})
"""Account types that grow by debits.

The others grow by credits; a `memo` account is a control account, which always ends at zero and
stands in no statement.
"""

CONTROL: Final = "shortfall_control"
"""The account that a shortfall's parts go through; it ends every chain at zero."""


@dataclass(frozen=True, slots=True)
class DeclaredAccount:
    """A declared account; with `per`, a family with one account per key.

    code: unique in the rulebook; in the ledger it says which account this is.
    flags: wire.AccountFlags.
    sync_to: where `sync` copies balances, as `table.column`.
    reserved: declared for rules to come, so that its code is never given away.
    clearing: money only passes through, so there must be a way back to zero.
    line: in its file.
    """

    name: str
    title: str
    code: int
    type: AccountType
    per: str = ""
    flags: int = 0
    sync_to: str = ""
    reserved: bool = False
    clearing: bool = False
    line: int = 0

    @property
    def debit_normal(self) -> bool:
        """Does it grow by debits?"""
        return self.type in DEBIT_NORMAL


@dataclass(frozen=True, slots=True)
class Ignore:
    """Events that carry no money, or tell what another event already tells.

    pattern: a glob.
    """

    pattern: str
    when: Expression | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class AccountUse:
    """An account as a leg names it.

    key: for a family, which member; else None.
    if_null: taken where the key is null.
    """

    account: DeclaredAccount
    key: Expression | None = None
    if_null: AccountUse | None = None

    @property
    def text(self) -> str:
        """As the rulebook writes it: `customer_wallet[data.object.customer]`."""
        taken = f"{self.account.name}[{self.key.text}]" if self.key else self.account.name
        return f"{taken} else {self.if_null.text}" if self.if_null else taken


@dataclass(frozen=True, slots=True)
class OriginUse:
    """An account that the origin's chain has, or a family's account with that account's key.

    leg, side: of the origin.
    family: None takes the account itself.
    otherwise: taken where the origin was not found, has no such leg, or its account has no key.
    """

    leg: str
    side: Side
    family: DeclaredAccount | None = None
    otherwise: Use | None = None

    @property
    def text(self) -> str:
        """As the rulebook writes it: `origin.gross.credit else suspense`."""
        origin_side = f"origin.{self.leg}.{self.side}"
        taken = f"{self.family.name}[{origin_side}.key]" if self.family else origin_side
        return f"{taken} else {self.otherwise.text}" if self.otherwise else taken


@dataclass(frozen=True, slots=True)
class NamedUse:
    """An account that the event names: any declared one but the memo accounts.

    name: gives a declared account's name.
    key: gives the family's key; "" or null for an account without `per`.
    """

    name: Expression
    key: Expression

    @property
    def text(self) -> str:
        """As the rulebook writes it: `account(item.account, item.key)`."""
        return f"account({self.name.text.strip()}, {self.key.text.strip()})"


@dataclass(frozen=True, slots=True)
class KnownUse:
    """One of two accounts, by whether the ledger has a third one when the chain is first sent."""

    account: AccountUse
    known: AccountUse
    otherwise: AccountUse

    @property
    def accounts(self) -> tuple[AccountUse, AccountUse, AccountUse]:
        """The account, the one that is looked for, and the other choice."""
        return self.account, self.known, self.otherwise

    @property
    def text(self) -> str:
        """As the rulebook writes it: `a if known(b) else c`."""
        return f"{self.account.text} if known({self.known.text}) else {self.otherwise.text}"


Use = AccountUse | OriginUse | NamedUse | KnownUse


class OriginLeg(NamedTuple):
    """One transfer of an earlier chain that holds accounts of a leg.

    part: hashed into its id.
    """

    leg: str
    part: str
    sides: tuple[Side, ...]


@dataclass(frozen=True, slots=True)
class OriginTransaction:
    """One transaction that may have made the earlier chain.

    fact: whether it has an idempotency_key.
    legs: its transfers that hold accounts.
    """

    transaction: str
    fact: bool
    legs: tuple[OriginLeg, ...]


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An earlier chain, as `origin` or `after` names it.

    sources: in order of preference.
    key: the value of its idempotency_key, or its event's id.
    time: seconds, the idempotency_time or `created` of its event; without it the chain is found by
        query, with it by id.
    missing: what the event becomes after the last wait: a dead letter, nothing to post, or posted
        with the accounts that its legs name after `else`.
    """

    sources: tuple[OriginTransaction, ...]
    key: Expression
    time: Expression | None = None
    optional: bool = False
    missing: Missing = "dead"

    @property
    def text(self) -> str:
        """`charge or guest_charge of data.object.charge`."""
        return f"{' or '.join(each.transaction for each in self.sources)} of {self.key.text}"


@dataclass(frozen=True, slots=True)
class Suspense:
    """Where a leg's money goes when an account of its chain is closed.

    side: which is replaced.
    """

    side: Side
    use: AccountUse


@dataclass(frozen=True, slots=True)
class RunningTotal:
    """Where a leg's total so far is noted: on two accounts that mirror each other."""

    noted: AccountUse
    counter: AccountUse


@dataclass(frozen=True, slots=True)
class PendingUse:
    """The reservation that a leg posts or voids.

    fact: whether `transaction` has an idempotency_key; then `key` is that value, else an event id.
    time: seconds, the idempotency_time or `created` of the event that reserved.
    """

    transaction: str
    leg: str
    fact: bool
    key: Expression
    time: Expression


@dataclass(frozen=True, slots=True)
class ForEach:
    """One `for_each`.

    name: what its item is called in expressions.
    """

    name: str
    items: Expression


@dataclass(frozen=True, slots=True)
class LegRule:
    """One transfer block.

    debit, credit: None for a post or void.
    amount: minor units; None for a post of everything reserved, or a void.
    currency: None takes the transaction's.
    flags: wire.TransferFlags that the rule sets.
    timeout: seconds.
    code: 0 takes the pending transfer's.
    shortfall: makes up what the debited account lacks.
    repay_first: is repaid before the credited account gets the rest.
    suspense: takes the money when the ledger has closed an account.
    total: the amount is the total so far; what is more than it was before moves.
    diverted: the suspense account is filled in.
    line: in its file.
    """

    name: str
    kind: TransferKind
    code: int
    debit: Use | None = None
    credit: Use | None = None
    amount: Expression | None = None
    when: Expression | None = None
    currency: Expression | None = None
    signed: bool = False
    flags: int = 0
    timeout: int = 0
    loops: tuple[ForEach, ...] = ()
    pending: PendingUse | None = None
    shortfall: Use | None = None
    repay_first: Use | None = None
    suspense: Suspense | None = None
    total: RunningTotal | None = None
    diverted: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class Requirement:
    """What must hold for an event to be posted.

    sentence: the condition in an accountant's words.
    reason: of the dead letter where the condition is false.
    """

    sentence: str
    condition: Expression
    reason: Reason


@dataclass(frozen=True, slots=True)
class Let:
    """A value that a transaction names once, for use in all its expressions."""

    name: str
    value: Expression
    line: int = 0


@dataclass(frozen=True, slots=True)
class Transaction:
    """One rule.

    on: globs of event types.
    start, end: event `created`, seconds, end excluded.
    lets: each may read those before it.
    alert: one sentence for the log when an event is posted.
    more: the rule that books what is more, where the ledger has less of this fact; it is told by no
        event of its own.
    line: in its file.
    """

    name: str
    on: tuple[str, ...]
    legs: tuple[LegRule, ...]
    when: Expression | None = None
    idempotency_key: Expression | None = None
    idempotency_time: Expression | None = None
    currency: Expression | None = None
    start: int | None = None
    end: int | None = None
    sync: bool = False
    priority: Priority = "normal"
    origin: Predecessor | None = None
    after: Predecessor | None = None
    require: tuple[Requirement, ...] = ()
    lets: tuple[Let, ...] = ()
    alert: str = ""
    more: str = ""
    line: int = 0

    def named_values(self, *, precise: bool) -> dict[LetKey, Evaluate]:
        """How each let is worked out; the keys are those of `NamedValues`."""
        return {
            (let.name,): precise_let(let.name, let.value) if precise else let.value.fast
            for let in self.lets
        }

    def scope(self, envelope: Mapping[str, Any]) -> Mapping[Any, Any]:
        """What this rule's expressions, read precisely, are called with for an event."""
        return NamedValues(envelope, self.named_values(precise=True)) if self.lets else envelope

    @property
    def waits(self) -> bool:
        """Whether the ledger is looked into before its chain is sent."""
        uses = (use for leg in self.legs for use in (leg.debit, leg.credit))
        known = any(isinstance(use, KnownUse) for use in uses)
        return known or self.origin is not None or self.after is not None

    @property
    def suspends(self) -> bool:
        """Whether some leg names a suspense account."""
        return any(leg.suspense for leg in self.legs)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Everything that a rulebook file says.

    ledgers: by lower-case currency.
    transactions: in file order, the first match wins.
    digest: SHA-256 in hex of the content, comments and layout aside.
    """

    ledgers: Mapping[str, Currency]
    topics: Mapping[str, TopicRule]
    ignore: tuple[Ignore, ...]
    accounts: Mapping[str, DeclaredAccount]
    transactions: tuple[Transaction, ...]
    digest: str

    def priority_of(self, role: str) -> Priority:
        """How soon the role's topic is drained; `normal` for a role that is not listed."""
        topic = self.topics.get(role)
        return topic.priority if topic else "normal"
