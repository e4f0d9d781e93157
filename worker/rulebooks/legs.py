"""One transfer block of a transaction, read from a rulebook file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from worker.core.chain import BALANCING, CLOSING
from worker.core.expressions.compiler import Expression, loop_name_problem
from worker.core.money import Currency, amount_problem
from worker.core.rulebook import (
    CONTROL,
    AccountUse,
    DeclaredAccount,
    ForEach,
    KnownUse,
    LegRule,
    OriginUse,
    PendingUse,
    Predecessor,
    Suspense,
    Use,
)
from worker.core.wire import TransferFlags, TransferKind
from worker.rulebooks.fields import YamlMapping, near
from worker.rulebooks.named_accounts import names_account, read_named
from worker.rulebooks.origins import (
    SIDES,
    ParsedUse,
    TransactionShape,
    origin_problem,
    parse_use,
    suspended_side,
)
from worker.rulebooks.running_totals import needed_control, read_total
from worker.rulebooks.sections import CODE_MAX
from worker.rulebooks.yaml_source import Block

LOOPS_MAX: Final = 4
TIMEOUT_MAX: Final = (1 << 32) - 1
PENDING_KEYS: Final = ("transaction", "leg", "key", "time")
RESOLVE: Final = ("post", "void")
NOT_WHEN_RESOLVING: Final = (
    "debit", "credit", "pending", "timeout", "signed", "flags", "shortfall", "repay_first",
    "suspense", "total",
)  # fmt: skip
LEG_KEYS: Final = (
    *NOT_WHEN_RESOLVING, *RESOLVE, "amount", "code", "when", "currency", "for_each",
)  # fmt: skip
LEG_FLAGS: Final = {
    "balancing_debit": TransferFlags.BALANCING_DEBIT,
    "balancing_credit": TransferFlags.BALANCING_CREDIT,
    "closing_debit": TransferFlags.CLOSING_DEBIT,
    "closing_credit": TransferFlags.CLOSING_CREDIT,
}
CHOICE: Final = re.compile(r"(.+?)\s+if\s+known\((.+)\)\s+else\s+(.+)", re.DOTALL)
ACCOUNT_USE: Final = re.compile(r"\s*(\w+)\s*(?:\[(.*)\])?\s*(?:\belse\b\s*(\w+)\s*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LegScope:
    """What legs refer to."""

    ledgers: Mapping[str, Currency]
    accounts: Mapping[str, DeclaredAccount]
    shapes: Mapping[str, TransactionShape]


def read_leg(
    name: str,
    fields: YamlMapping,
    declared: LegScope,
    *,
    origin: Predecessor | None,
    currency: bool,
) -> LegRule:
    """One leg. origin: the transaction's. currency: whether it has one for all its legs."""
    return _LegReader(fields, declared, origin).leg(name, currency=currency)


class _LegReader:
    """Reads one transfer block."""

    def __init__(self, fields: YamlMapping, declared: LegScope, origin: Predecessor | None) -> None:
        self._fields = fields
        self._declared = declared
        self._origin = origin
        self._loops: tuple[ForEach, ...] = ()

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(loop.name for loop in self._loops)

    def leg(self, name: str, *, currency: bool) -> LegRule:
        """The whole block."""
        fields = self._fields
        self._loops = self._read_loops()
        kind = self._kind()
        debit, credit = self._sides(kind)
        leg = LegRule(
            name=name,
            kind=kind,
            code=self._code(kind),
            debit=debit,
            credit=credit,
            amount=self._amount(kind),
            when=fields.expression("when", loops=self._names, condition=True),
            currency=read_currency(fields, self._declared.ledgers, self._names),
            signed=fields.flag("signed"),
            flags=self._flags(),
            timeout=fields.whole("timeout", 1, TIMEOUT_MAX) if fields.has("timeout") else 0,
            loops=self._loops,
            pending=self._pending(kind),
            shortfall=self._helper("shortfall", debit),
            repay_first=self._helper("repay_first", credit),
            suspense=self._suspense(debit, credit),
            total=read_total(fields, self._declared.accounts, self._names),
            line=fields.here,
        )
        if not (currency or fields.has("currency")):
            fields.wrong("currency", "neither the leg nor its transaction has a `currency`")
        _check_together(leg, fields)
        return leg

    def _read_loops(self) -> tuple[ForEach, ...]:
        node = self._fields.node("for_each")
        if isinstance(node, Block):
            entries = [(each, value, line) for each, value, line in self._fields.blocks("for_each")]
        else:
            entries = [("item", node, self._fields.line("for_each"))] if node else []
        found: list[ForEach] = []
        for name, value, line in entries:
            problem = loop_name_problem(name)
            if name in self._fields.lets.values:
                problem = "is the name of a `let`"
            if problem:
                self._fields.mistakes.add(line, f"{self._fields.what}: for_each {name!r} {problem}")
            text = getattr(value, "text", "")
            outer = [loop.name for loop in found]
            items = self._fields.compiled("for_each", text, line=line, loops=outer)
            if items is not None:
                found.append(ForEach(name, items))
        if len(found) > LOOPS_MAX:
            self._fields.wrong("for_each", f"nested more than {LOOPS_MAX} deep")
        return tuple(found)

    def _kind(self) -> TransferKind:
        fields = self._fields
        if fields.has("post") and fields.has("void"):
            fields.wrong("void", "a leg either posts or voids")
        for kind in RESOLVE:
            if fields.has(kind):
                for key in filter(fields.has, NOT_WHEN_RESOLVING):
                    fields.wrong(key, f"a `{kind}` takes its `{key}` from what was reserved")
                return "post" if kind == "post" else "void"
        fields.require("debit", "credit", "amount", "code")
        return "pending" if fields.flag("pending") else "posted"

    def _sides(self, kind: TransferKind) -> tuple[Use | None, Use | None]:
        if kind in RESOLVE:
            return None, None
        debit, credit = self._account("debit"), self._account("credit")
        if debit and credit and debit.text.split() == credit.text.split():
            self._fields.wrong("credit", f"debit and credit are one account, {debit.text}")
        return debit, credit

    def _account(self, key: str, *, inherits: Use | None = None) -> Use | None:
        """An account as text: declared, with its key, or one that the origin gives."""
        text = self._fields.text(key)
        parsed = parse_use(text) if text else None
        if parsed is not None:
            return self._of_origin(key, parsed)
        if text and (choice := CHOICE.fullmatch(text)):
            return self._by_known(key, choice)
        if names_account(text):
            return read_named(text, key, self._fields, self._names)
        return self._declared_account(key, self._fields, text, inherits) if text else None

    def _by_known(self, key: str, choice: re.Match[str]) -> KnownUse | None:
        """`ACCOUNT if known(ACCOUNT) else ACCOUNT`."""
        found = [self._declared_account(key, self._fields, text, None) for text in choice.groups()]
        account, known, otherwise = found
        return KnownUse(account, known, otherwise) if account and known and otherwise else None

    def _of_origin(self, key: str, parsed: ParsedUse) -> OriginUse | None:
        fields = self._fields
        if problem := origin_problem(parsed, self._origin):
            fields.wrong(key, f"`{key}`: {problem}")
            return None
        family = self._declared.accounts.get(parsed.family)
        if parsed.family and (family is None or not family.per):
            hint = "" if family else near(parsed.family, self._declared.accounts)
            fields.wrong(key, f"`{key}`: there is no family of accounts {parsed.family!r}{hint}")
        otherwise: Use | None = None
        if parsed.otherwise is not None:
            text = parsed.otherwise.strip()
            inner = parse_use(text)
            otherwise = (
                self._of_origin(key, inner)
                if inner
                else self._declared_account(key, fields, text, None)
            )
        return OriginUse(parsed.leg, parsed.side, family, otherwise)

    def _declared_account(
        self, key: str, fields: YamlMapping, text: str, inherits: Use | None
    ) -> AccountUse | None:
        """An account by name, with its key; one without may inherit that of the same `per`."""
        match = ACCOUNT_USE.fullmatch(text)
        name = match[1] if match else text
        account = self._declared.accounts.get(name)
        if match is None or account is None:
            hint = near(name, self._declared.accounts)
            fields.wrong(key, f"`{key}`: there is no account {name!r}{hint}")
            return None
        if match[3] is not None:
            return self._or_else(key, fields, account, match)
        heir = inherits if match[2] is None and isinstance(inherits, AccountUse) else None
        if heir and heir.key and heir.account.per == account.per:
            return AccountUse(account, heir.key)
        return self._member(key, fields, account, match[2])

    def _or_else(
        self, key: str, fields: YamlMapping, account: DeclaredAccount, match: re.Match[str]
    ) -> AccountUse | None:
        """A family's member, and the account that is taken where its key is null."""
        if match[2] is None:
            fields.wrong(key, f"`{key}`: `else` is for a family's member, whose key may be null")
            return None
        member = self._member(key, fields, account, match[2])
        if_null = self._declared_account(key, fields, match[3], None)
        return replace(member, if_null=if_null) if member and if_null else None

    def _member(
        self, key: str, fields: YamlMapping, account: DeclaredAccount, inner: str | None
    ) -> AccountUse | None:
        if not account.per:
            if inner is not None:
                fields.wrong(key, f"`{key}`: {account.name} is one account, without `per`")
            return AccountUse(account)
        if inner is None:
            hint = f"write {account.name}[…], per {account.per}"
            fields.wrong(key, f"`{key}`: {account.name} is a family: {hint}")
            return None
        found = fields.compiled(key, inner, loops=self._names)
        return AccountUse(account, found) if found else None

    def _code(self, kind: TransferKind) -> int:
        """A post or void without a code takes the pending transfer's."""
        if kind in RESOLVE and not self._fields.has("code"):
            return 0
        return self._fields.whole("code", 1, CODE_MAX)

    def _amount(self, kind: TransferKind) -> Expression | None:
        amount = self._fields.expression("amount", loops=self._names)
        if amount is not None and amount.constant:
            value = amount.precise(None, *self._names)
            problem = amount_problem(value, signed=self._fields.flag("signed"))
            if problem or (value == 0 and kind not in RESOLVE and not self._flags() & CLOSING):
                self._fields.wrong("amount", f"`amount` {problem or 'is always 0'}")
        return amount

    def _flags(self) -> int:
        flags = 0
        for word in self._fields.names("flags", tuple(LEG_FLAGS)):
            flags |= int(LEG_FLAGS[word])
        return flags

    def _helper(self, key: str, side: Use | None) -> Use | None:
        """The account that makes up for, or is repaid before, one side of the leg."""
        if not self._fields.has(key):
            return None
        control = needed_control(key, self._fields, self._declared.accounts)
        use = self._account(key, inherits=side)
        if any(isinstance(each, AccountUse) and each.account == control for each in (use, side)):
            self._fields.wrong(key, f"{CONTROL} is only passed through")
        if use and side and use.text.split() == side.text.split():
            self._fields.wrong(key, f"`{key}` is the account that it helps")
        return use

    def _suspense(self, debit: Use | None, credit: Use | None) -> Suspense | None:
        """`suspense: ACCOUNT`, or {debit: ACCOUNT} where it is not clear which side it replaces."""
        node = self._fields.node("suspense")
        if node is None:
            return None
        if not isinstance(node, Block):
            side = suspended_side(debit, credit, self._fields)
            key, fields = "suspense", self._fields
        else:
            what, line = f"{self._fields.what}: suspense", self._fields.line("suspense")
            fields = self._fields.inner(node, what, known=SIDES, line=line)
            given = [each for each in SIDES if fields.has(each)]
            side = given[0] if len(given) == 1 else None
            key = side or "suspense"
            if side is None:
                self._fields.wrong("suspense", "`suspense` replaces one side: debit or credit")
        text = fields.text(key) if side else ""
        replaced = debit if side == "debit" else credit
        use = self._declared_account(key, fields, text, replaced) if text else None
        return Suspense(side, use) if side and use else None

    def _pending(self, kind: TransferKind) -> PendingUse | None:
        if kind not in RESOLVE:
            return None
        node = self._fields.node(kind)
        if node is None:
            return None
        what = f"{self._fields.what}: {kind}"
        line = self._fields.line(kind)
        fields = self._fields.inner(node, what, known=PENDING_KEYS, line=line)
        if not (isinstance(node, Block) and fields.require(*PENDING_KEYS)):
            return None
        key = fields.expression("key", loops=self._names)
        time = fields.expression("time", loops=self._names)
        shape = self._reserved(fields)
        if key is None or time is None or shape is None:
            return None
        return PendingUse(fields.text("transaction"), fields.text("leg"), shape.fact, key, time)

    def _reserved(self, fields: YamlMapping) -> TransactionShape | None:
        """The transaction that reserved, when its leg is one that this leg can resolve."""
        shapes = self._declared.shapes
        transaction, leg = fields.text("transaction"), fields.text("leg")
        shape = shapes.get(transaction)
        if shape is None:
            hint = near(transaction, shapes)
            fields.wrong("transaction", f"there is no transaction {transaction!r}{hint}")
            return None
        found = shape.legs.get(leg)
        if found is None:
            hint = near(leg, shape.legs)
            fields.wrong("leg", f"{transaction} has no leg {leg!r}{hint}")
        elif not found.pending:
            fields.wrong("leg", f"{transaction}.{leg} is not `pending: true`")
        elif found.loops != len(self._loops):
            fields.wrong("leg", f"{transaction}.{leg} has {found.loops} `for_each`, as this must")
        elif self._fields.has("code") and self._fields.whole("code", 1, CODE_MAX) != found.code:
            self._fields.wrong("code", f"`code` must be {transaction}.{leg}'s, {found.code}")
        return shape


def read_currency(
    fields: YamlMapping, ledgers: Mapping[str, Currency], loops: tuple[str, ...] = ()
) -> Expression | None:
    """`currency:`: a ledger's name, or an expression that gives one."""
    text = fields.text("currency")
    if text in ledgers:
        return fields.compiled("currency", f'"{text}"')
    found = fields.expression("currency", loops=loops)
    if found is not None and found.constant and found.precise(None, *loops) not in ledgers:
        fields.wrong("currency", f"there is no ledger {text}")
    return found


def _check_together(leg: LegRule, fields: YamlMapping) -> None:
    """Options that contradict each other."""
    helped = leg.shortfall or leg.repay_first or leg.total
    memo = [side for side in SIDES if _is_memo(leg.debit if side == "debit" else leg.credit)]
    to_zero = "a memo account ends every chain at zero"
    balancing, closing = leg.flags & BALANCING, leg.flags & CLOSING
    for key, wrong, message in (
        ("pending", leg.suspense and leg.kind == "pending", "`suspense` cannot be pending"),
        ("timeout", leg.timeout and leg.kind != "pending", "`timeout` needs `pending: true`"),
        ("flags", closing and leg.kind != "pending", "closing flags need `pending: true`"),
        ("flags", leg.flags and leg.signed, "`flags` name a side, which `signed` may swap"),
        ("signed", helped and leg.signed, "`signed` cannot be combined with a shortfall or total"),
        ("pending", helped and leg.kind == "pending", "a shortfall cannot be pending"),
        ("flags", helped and balancing, "a shortfall sets the balancing flags itself"),
        ("repay_first", leg.shortfall and leg.repay_first, "either `shortfall` or `repay_first`"),
        ("pending", memo and leg.kind == "pending", f"{to_zero}: it reserves nothing"),
        ("flags", memo and balancing, f"{to_zero}: balancing flags cannot say by how much"),
        ("debit", memo and helped, f"{to_zero}: no shortfall goes through it"),
        ("suspense", leg.suspense and leg.suspense.side in memo, f"{to_zero}: nothing replaces it"),
    ):
        if wrong:
            fields.wrong(key, message)


def _is_memo(use: Use | None) -> bool:
    """Is it a memo account that a rule moves by itself?"""
    return (
        isinstance(use, AccountUse) and use.account.type == "memo" and use.account.name != CONTROL
    )
