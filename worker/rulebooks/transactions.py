"""The transactions of a rulebook file. Their names are hashed into ids."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, cast

from worker.core.event import CREATED_MAX, Reason
from worker.core.expressions.compiler import Expression, compile_expression, loop_name_problem
from worker.core.requirements import REASONS
from worker.core.rulebook import LegRule, Let, Predecessor, Requirement, Transaction
from worker.core.topic_rule import Priority
from worker.rulebooks.fields import LetNames, YamlMapping, check_name
from worker.rulebooks.legs import LEG_KEYS, LegScope, read_currency, read_leg
from worker.rulebooks.origins import LegShape, TransactionShape, read_predecessor
from worker.rulebooks.sections import PRIORITIES
from worker.rulebooks.yaml_source import Block, Node, Scalar

TRANSACTION_KEYS: Final = (
    "on", "when", "idempotency_key", "idempotency_time", "currency", "transfers", "from", "until",
    "execution", "priority", "origin", "after", "let", "alert", "require", "more",
)  # fmt: skip
MORE_KEYS: Final = ("name", "idempotency_key", "origin", "transfers")
MORE_NEEDED: Final = ("name", "idempotency_key", "transfers")
REQUIRE_KEYS: Final = ("that", "reason")
NO_LET: Final = frozenset({"item", "origin"})
"""Names that legs use for something else."""
SECOND: Final = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?")


def read_transactions(book: YamlMapping, declared: LegScope) -> tuple[Transaction, ...]:
    """`transactions:`, in file order."""
    found = []
    for name, node, line in book.blocks("transactions"):
        what = f"transaction {name}"
        fields = YamlMapping(node, what, book.mistakes, known=TRANSACTION_KEYS, line=line)
        check_name(name, line, "transaction", book.mistakes)
        if name == "event":
            book.mistakes.add(line, "no transaction may be called `event`: ids use that word")
        rule = _transaction(name, fields, declared)
        follow_up = _more(rule, fields, declared) if fields.has("more") else None
        found += [replace(rule, more=follow_up.name), follow_up] if follow_up else [rule]
        _check_lets(rule, fields)
    if not found:
        book.wrong("transactions", "at least one transaction is needed")
    return tuple(found)


def read_shapes(book: YamlMapping) -> dict[str, TransactionShape]:
    """What transactions may know of each other, before any is read; notes no mistakes."""
    found = {}
    for name, node, _ in book.blocks("transactions"):
        if isinstance(node, Block):
            transfers = node.entries.get("transfers")
            legs = transfers.entries if isinstance(transfers, Block) else {}
            shapes = {leg: _leg_shape(each) for leg, each in legs.items()}
            found[name] = TransactionShape("idempotency_key" in node.entries, shapes)
    return found


def _leg_shape(node: Node) -> LegShape:
    entries = node.entries if isinstance(node, Block) else {}
    pending, code, loops = (entries.get(key) for key in ("pending", "code", "for_each"))
    nested = len(loops.entries) if isinstance(loops, Block) else 0 if loops is None else 1
    number = code.value if isinstance(code, Scalar) and isinstance(code.value, int) else 0
    helped = "debit" if "shortfall" in entries else "credit" if "repay_first" in entries else ""
    reserves = isinstance(pending, Scalar) and pending.value is True
    return LegShape(reserves, nested, number, helped, "suspense" in entries, "total" in entries)


def _transaction(name: str, fields: YamlMapping, declared: LegScope) -> Transaction:
    fields.require("on", "transfers")
    lets = _lets(fields, declared)
    start, end = _second(fields, "from"), _second(fields, "until")
    if start is not None and end is not None and start >= end:
        fields.wrong("until", "`until` must be later than `from`")
    key, time = _identity(fields)
    origin = read_predecessor(fields, "origin", declared.shapes)
    return Transaction(
        name=name,
        on=fields.globs("on", single=True),
        legs=_legs(name, fields, declared, origin, currency=fields.has("currency")),
        when=fields.expression("when", condition=True),
        idempotency_key=key,
        idempotency_time=time,
        currency=read_currency(fields, declared.ledgers),
        start=start,
        end=end,
        sync=fields.choice("execution", ("async", "sync")) == "sync",
        priority=cast("Priority", fields.choice("priority", PRIORITIES)),
        origin=origin,
        after=read_predecessor(fields, "after", declared.shapes),
        require=tuple(_requirements(fields)),
        lets=lets,
        alert=" ".join(fields.text("alert").split()),
        line=fields.here,
    )


def _check_lets(rule: Transaction, fields: YamlMapping) -> None:
    for let in rule.lets:
        if let.name not in fields.lets.used:
            fields.mistakes.add(let.line, f"{fields.what}: let {let.name} is never used")


def _more(rule: Transaction, fields: YamlMapping, declared: LegScope) -> Transaction | None:
    """`more:`, the rule that books what is more than the ledger has of the same fact."""
    node = fields.node("more")
    if node is None:
        return None
    what = f"{fields.what}: more"
    inner = fields.inner(node, what, known=MORE_KEYS, line=fields.line("more"))
    if not (isinstance(node, Block) and inner.require(*MORE_NEEDED)):
        return None
    name = inner.text("name")
    check_name(name, inner.here, "transaction", fields.mistakes)
    if rule.idempotency_key is None or rule.legs[:1] != tuple(_plain(rule.legs[:1])):
        fields.wrong("more", "`more` needs an idempotency_key, and a plain first leg")
    origin = read_predecessor(inner, "origin", declared.shapes)
    return Transaction(
        name=name,
        on=(),
        legs=_legs(name, inner, declared, origin, currency=rule.currency is not None),
        idempotency_key=inner.expression("idempotency_key"),
        idempotency_time=rule.idempotency_time,
        currency=rule.currency,
        origin=origin,
        lets=rule.lets,
        line=inner.here,
    )


def _plain(legs: tuple[LegRule, ...]) -> Iterator[LegRule]:
    """Those whose own transfer has the leg's amount, always."""
    for leg in legs:
        if not (leg.flags or leg.total or leg.loops or leg.pending or leg.when or leg.signed):
            yield leg


def _lets(fields: YamlMapping, declared: LegScope) -> tuple[Let, ...]:
    """`let:`; from here on the mapping's expressions may use what it names."""
    values: dict[str, Expression] = {}
    fields.lets = LetNames(values, declared.ledgers)
    found = []
    for name, node, line in fields.blocks("let"):
        check_name(name, line, "let", fields.mistakes)
        problem = loop_name_problem(name)
        if name in NO_LET or name in declared.ledgers:
            problem = "already means something in legs"
        if problem:
            fields.mistakes.add(line, f"{fields.what}: let {name!r} {problem}")
        value = None
        if isinstance(node, Scalar) and node.text.strip():
            value = fields.compiled(f"let {name}", node.text, line=line)
        else:
            fields.mistakes.add(line, f"{fields.what}: let {name!r} must be an expression")
        values[name] = value or compile_expression("null")
        found.append(Let(name, values[name], line))
    return tuple(found)


def _requirements(fields: YamlMapping) -> Iterator[Requirement]:
    """`require:`, by the sentence that says what must be true."""
    for sentence, node, line in fields.blocks("require"):
        what = f"{fields.what}: require {sentence!r}"
        reason = REASONS[0]
        if isinstance(node, Block):
            inner = fields.inner(node, what, known=REQUIRE_KEYS, line=line)
            inner.require("that")
            reason = Reason(inner.choice("reason", REASONS))
            condition = inner.expression("that", condition=True)
        else:
            text = node.text if isinstance(node, Scalar) else ""
            condition = fields.compiled(f"require {sentence}", text, line=line, condition=True)
        if condition is not None and not condition.roots:
            fields.mistakes.add(line, f"{what} is the same for every event")
        if condition is not None:
            yield Requirement(sentence, condition, reason)


def _identity(fields: YamlMapping) -> tuple[Expression | None, Expression | None]:
    """Both or neither, and neither a constant: every event would be one fact."""
    keys = ("idempotency_key", "idempotency_time")
    for key, other in (keys, keys[::-1]):
        if fields.has(key) and not fields.has(other):
            fields.wrong(key, f"`{key}` needs `{other}`, an unchanging field of the same fact")
    found = [fields.expression(key) for key in keys]
    for key, expression in zip(keys, found, strict=True):
        if expression is not None and not expression.roots:
            fields.wrong(key, f"`{key}` is the same for every event")
    return found[0], found[1]


def _legs(
    name: str,
    fields: YamlMapping,
    declared: LegScope,
    origin: Predecessor | None,
    *,
    currency: bool,
) -> tuple[LegRule, ...]:
    found = []
    for leg, node, line in fields.blocks("transfers"):
        what = f"leg {name}.{leg}"
        block = fields.inner(node, what, known=LEG_KEYS, line=line)
        check_name(leg, line, "leg", fields.mistakes)
        found.append(read_leg(leg, block, declared, origin=origin, currency=currency))
    if any(leg.suspense for leg in found) and any(leg.kind == "pending" for leg in found):
        fields.wrong("transfers", "a chain that reserves money cannot be diverted by `suspense`")
    if fields.has("transfers") and not found:
        fields.wrong("transfers", "at least one transfer is needed")
    return tuple(found)


def _second(fields: YamlMapping, key: str) -> int | None:
    """A date (UTC midnight), a UTC time, or seconds since 1970."""
    text = fields.text(key)
    if not text:
        return None
    if text.isascii() and text.isdigit() and int(text) <= CREATED_MAX:
        return int(text)
    try:
        if SECOND.fullmatch(text):
            return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        pass  # a date that the calendar does not have is told like any other
    fields.wrong(key, f"`{key}` must be a date: 2026-01-31 or 2026-01-31T00:00:00Z")
    return None
