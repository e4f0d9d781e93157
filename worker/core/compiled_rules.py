"""A rulebook's rules compiled: each expression as a function, each leg with its fixed part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker.core.chain import BALANCING, CLOSING, LegSpec
from worker.core.event import Dead, Reason
from worker.core.expressions.compiler import Evaluate, Expression, LetKey
from worker.core.expressions.operators import ExpressionError, Value
from worker.core.leg_parts import LegPart, leg_parts
from worker.core.leg_specs import diverted_legs, part_name
from worker.core.requirements import CompiledRequirement, compile_requirements, memo_codes
from worker.core.rulebook import (
    CONTROL,
    AccountUse,
    DeclaredAccount,
    KnownUse,
    LegRule,
    NamedUse,
    OriginTransaction,
    OriginUse,
    Predecessor,
    Rulebook,
    Side,
    Transaction,
    Use,
)
from worker.core.wire import AMOUNT_MAX


class TranslationRefused(Exception):
    """Translation stops: the event is a dead letter. Never leaves the translator."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.dead = Dead(reason, detail)


class CompiledExpression:
    """One compiled expression.

    text: its path in the rulebook and its source, for the start of a message.
    """

    def __init__(self, run: Evaluate, text: str) -> None:
        self._run = run
        self.text = text

    def value(self, body: Value, items: tuple[Value, ...] = ()) -> Value:
        """What it is for an event and the items of the loops around it."""
        return self._run(body, *items) if items else self._run(body)


@dataclass(frozen=True, slots=True)
class CompiledAccount:
    """One side of a leg.

    key: None without `per`.
    if_null: taken where the key is null.
    """

    account: DeclaredAccount
    key: CompiledExpression | None
    text: str
    if_null: CompiledAccount | None = None


@dataclass(frozen=True, slots=True)
class CompiledOrigin:
    """One side that the origin gives; see `rulebook.OriginUse`."""

    leg: str
    side: Side
    family: DeclaredAccount | None
    otherwise: CompiledSide | None
    text: str


@dataclass(frozen=True, slots=True)
class CompiledNamed:
    """One side that the event names.

    accounts: those that it may name.
    """

    name: CompiledExpression
    key: CompiledExpression
    accounts: Mapping[str, DeclaredAccount]


@dataclass(frozen=True, slots=True)
class CompiledKnown:
    """One of two accounts; see `rulebook.KnownUse`."""

    account: CompiledAccount
    known: CompiledAccount
    otherwise: CompiledAccount
    text: str


CompiledSide = CompiledAccount | CompiledOrigin | CompiledNamed | CompiledKnown


@dataclass(frozen=True, slots=True)
class CompiledPart:
    """One balancing part of a shortfall or of its mirror."""

    spec: LegSpec
    debit: CompiledSide
    credit: CompiledSide


@dataclass(frozen=True, slots=True)
class CompiledPending:
    """How the ids of the reservation are found that a leg posts or voids.

    fact: whether its transaction has an idempotency_key.
    """

    transaction: str
    leg: str
    fact: bool
    key: CompiledExpression
    time: CompiledExpression


@dataclass(frozen=True, slots=True)
class CompiledLeg:
    """One transfer block.

    without_amount: minor units to request where the rule gives no amount.
    signed: a negative amount swaps debit and credit.
    keeps_zero: a transfer of 0 is made; without it the leg falls away.
    parts: the balancing transfers of a shortfall, or of its mirror.
    text: where it is in the rulebook, for messages.
    """

    spec: LegSpec
    when: CompiledExpression | None
    currency: CompiledExpression | None
    amount: CompiledExpression | None
    without_amount: int
    signed: bool
    keeps_zero: bool
    loops: tuple[CompiledExpression, ...]
    debit: CompiledSide | None
    credit: CompiledSide | None
    parts: tuple[CompiledPart, ...]
    pending: CompiledPending | None
    text: str


@dataclass(frozen=True, slots=True)
class CompiledPredecessor:
    """How the key of an earlier chain is found that must be in the ledger first.

    optional: the event is posted without it.
    or_nothing: where it never comes, the event has nothing to post.
    or_else: where it never comes, the event is posted with the accounts after `else`.
    needless: a key of null means that there is none to wait for.
    """

    sources: tuple[OriginTransaction, ...]
    key: CompiledExpression
    time: CompiledExpression | None
    optional: bool
    or_nothing: bool
    or_else: bool
    needless: bool
    text: str


@dataclass(frozen=True, slots=True)
class CompiledTransaction:
    """One compiled rule.

    start, end: seconds since 1970, end excluded.
    lets: the values of `let:`; where there are any, every expression gets `NamedValues`.
    alert: one sentence for the log when an event is posted by this rule.
    more: the rule that books what is more; see `rulebook.Transaction`.
    waits: it has an origin or comes after another.
    suspends: some leg names a suspense account.
    diverted: its legs with all suspense accounts filled in.
    memo: codes; see `requirements.memo_codes`.
    """

    name: str
    start: int
    end: int
    lets: Mapping[LetKey, Evaluate]
    when: Evaluate | None
    key: CompiledExpression | None
    time: CompiledExpression | None
    currency: CompiledExpression | None
    legs: tuple[CompiledLeg, ...]
    sync: bool
    alert: str
    more: str
    origin: CompiledPredecessor | None
    after: CompiledPredecessor | None
    diverted: tuple[CompiledLeg, ...]
    waits: bool
    suspends: bool
    require: tuple[CompiledRequirement, ...]
    memo: frozenset[int]


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """All rules of a rulebook in file order; ignore: the condition of each entry, or None."""

    transactions: tuple[CompiledTransaction, ...]
    ignore: tuple[Evaluate | None, ...]

    def follow_up(self, rule: CompiledTransaction) -> CompiledTransaction:
        """The rule that books what is more than another has booked."""
        return next(each for each in self.transactions if each.name == rule.more)


FOREVER: Final = 1 << 62


def _precise(expression: Expression, rule_path: str) -> Evaluate:
    """Reads step by step; a failure names the field and the line of the rulebook."""

    def run(*arguments: Value) -> Value:
        try:
            return expression.precise(*arguments)
        except ExpressionError as error:
            raise TranslationRefused(Reason.MISSING_FIELD, f"{rule_path}: {error}") from error

    return run


def compile_rulebook(
    rulebook: Rulebook, specs: dict[tuple[str, str], LegSpec], *, precise: bool
) -> CompiledRules:
    """Every rule, compiled; specs: from `leg_specs`.

    precise: with readings that say what is wrong; else with fast ones.
    """
    compiler = _Compiler(rulebook, specs, precise=precise)
    return CompiledRules(
        tuple(compiler.transaction(each) for each in rulebook.transactions),
        tuple(compiler.condition(each.when, f"ignore {each.pattern}") for each in rulebook.ignore),
    )


class _Compiler:
    """Compiles the rules of one rulebook, with fast or with precise expressions."""

    def __init__(
        self, rulebook: Rulebook, specs: dict[tuple[str, str], LegSpec], *, precise: bool
    ) -> None:
        self._rulebook = rulebook
        self._specs = specs
        self._precise = precise

    def _function(self, expression: Expression, rule_path: str) -> Evaluate:
        return _precise(expression, rule_path) if self._precise else expression.fast

    def transaction(self, rule: Transaction) -> CompiledTransaction:
        """One rule with its legs."""
        name = rule.name
        return CompiledTransaction(
            name=name,
            start=rule.start if rule.start is not None else -1,
            end=rule.end if rule.end is not None else FOREVER,
            lets=rule.named_values(precise=self._precise),
            when=self.condition(rule.when, f"{name} when"),
            key=self._reading(rule.idempotency_key, f"{name} idempotency_key"),
            time=self._reading(rule.idempotency_time, f"{name} idempotency_time"),
            currency=self._reading(rule.currency, f"{name} currency"),
            legs=tuple(self._leg(name, leg) for leg in rule.legs),
            sync=rule.sync or rule.priority == "high",
            alert=rule.alert,
            more=rule.more,
            origin=self._predecessor(rule.origin, f"{name} origin"),
            after=self._predecessor(rule.after, f"{name} after"),
            diverted=tuple(self._leg(name, leg) for leg in diverted_legs(rule)),
            waits=rule.waits,
            suspends=rule.suspends,
            require=compile_requirements(rule, self._function),
            memo=memo_codes(rule),
        )

    def _predecessor(self, rule: Predecessor | None, rule_path: str) -> CompiledPredecessor | None:
        if rule is None:
            return None
        return CompiledPredecessor(
            sources=rule.sources,
            key=self._needed(rule.key, f"{rule_path} key"),
            time=self._reading(rule.time, f"{rule_path} time"),
            optional=rule.optional,
            or_nothing=rule.missing == "nothing",
            or_else=rule.missing == "else",
            needless=rule_path.endswith(" after"),
            text=f"{rule_path} {' or '.join(each.transaction for each in rule.sources)}",
        )

    def condition(self, expression: Expression | None, rule_path: str) -> Evaluate | None:
        """A condition's function; rule_path: where it is in the rulebook."""
        return None if expression is None else self._function(expression, rule_path)

    def _reading(self, expression: Expression | None, rule_path: str) -> CompiledExpression | None:
        return None if expression is None else self._needed(expression, rule_path)

    def _needed(self, expression: Expression, rule_path: str) -> CompiledExpression:
        text = f"{rule_path}: {expression.text}"
        return CompiledExpression(self._function(expression, rule_path), text)

    def _leg(self, transaction: str, leg: LegRule) -> CompiledLeg:
        rule_path = f"{transaction}.{leg.name}"
        own, *parts = leg_parts(leg)
        through = bool(parts)
        return CompiledLeg(
            spec=self._spec(transaction, leg, own.name),
            when=self._reading(leg.when, f"{rule_path} when"),
            currency=self._reading(leg.currency, f"{rule_path} currency"),
            amount=self._reading(leg.amount, f"{rule_path} amount"),
            without_amount=AMOUNT_MAX if leg.kind == "post" else 0,
            signed=leg.signed,
            keeps_zero=bool(leg.flags & (BALANCING | CLOSING)) or leg.pending is not None,
            loops=tuple(self._needed(loop.items, f"{rule_path} for_each") for loop in leg.loops),
            debit=self._own_side(leg, own.debit, rule_path, through_control=through),
            credit=self._own_side(leg, own.credit, rule_path, through_control=through),
            parts=tuple(self._part(transaction, leg, part, rule_path) for part in parts),
            pending=self._pending(leg, rule_path),
            text=rule_path,
        )

    def _spec(self, transaction: str, leg: LegRule, part: str) -> LegSpec:
        name = ".".join(filter(None, (leg.name, part_name(leg, part))))
        return self._specs[transaction, name]

    def _own_side(
        self, leg: LegRule, use: Use | None, rule_path: str, *, through_control: bool
    ) -> CompiledSide | None:
        """A side of the leg's own transfer; None where it posts or voids what was reserved."""
        if use is None and not through_control:
            return None
        return self._part_side(leg, use, rule_path)

    def _part_side(self, leg: LegRule, use: Use | None, rule_path: str) -> CompiledSide:
        return self._control(leg) if use is None else self._side(use, rule_path)

    def _part(self, transaction: str, leg: LegRule, part: LegPart, rule_path: str) -> CompiledPart:
        return CompiledPart(
            self._spec(transaction, leg, part.name),
            self._part_side(leg, part.debit, rule_path),
            self._part_side(leg, part.credit, rule_path),
        )

    def _control(self, leg: LegRule) -> CompiledAccount:
        return CompiledAccount(self._rulebook.accounts[CONTROL], None, leg.name)

    def _side(self, use: Use, rule_path: str) -> CompiledSide:
        if isinstance(use, AccountUse):
            return self._account(use, rule_path)
        if isinstance(use, NamedUse):
            return self._named(use, rule_path)
        if isinstance(use, KnownUse):
            account, known, otherwise = (self._account(each, rule_path) for each in use.accounts)
            return CompiledKnown(account, known, otherwise, use.text)
        return self._origin(use, rule_path)

    def _named(self, use: NamedUse, rule_path: str) -> CompiledNamed:
        accounts = self._rulebook.accounts
        return CompiledNamed(
            name=self._needed(use.name, f"{rule_path} account"),
            key=self._needed(use.key, f"{rule_path} account's key"),
            accounts={each.name: each for each in accounts.values() if each.type != "memo"},
        )

    def _origin(self, use: OriginUse, rule_path: str) -> CompiledOrigin:
        otherwise = self._side(use.otherwise, rule_path) if use.otherwise else None
        return CompiledOrigin(use.leg, use.side, use.family, otherwise, use.text)

    def _account(self, use: AccountUse, rule_path: str) -> CompiledAccount:
        text = f"{rule_path} {use.account.name}"
        if use.key is None:
            return CompiledAccount(use.account, None, text)
        key = self._needed(use.key, text)
        if_null = self._account(use.if_null, rule_path) if use.if_null else None
        return CompiledAccount(use.account, key, key.text, if_null)

    def _pending(self, leg: LegRule, rule_path: str) -> CompiledPending | None:
        use = leg.pending
        if use is None:
            return None
        return CompiledPending(
            transaction=use.transaction,
            leg=use.leg,
            fact=use.fact,
            key=self._needed(use.key, f"{rule_path} {leg.kind} key"),
            time=self._needed(use.time, f"{rule_path} {leg.kind} time"),
        )
