"""`origin:` and `after:`, the accounts that an origin gives, and `suspense:`.

Only accounts can name an origin, no expression can: legs and amounts never depend on a lookup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, cast, get_args

from worker.core.leg_specs import SUSPENSE
from worker.core.rulebook import (
    KnownUse,
    Missing,
    NamedUse,
    OriginLeg,
    OriginTransaction,
    OriginUse,
    Predecessor,
    Side,
    Use,
)
from worker.rulebooks.fields import YamlMapping, near
from worker.rulebooks.yaml_source import Block

ORIGIN_KEYS: Final = ("transaction", "key", "time", "optional", "missing")
AFTER_KEYS: Final = ("transaction", "key", "time", "missing")
SIDES: Final[tuple[Side, Side]] = ("debit", "credit")

WHOLE: Final = re.compile(r"\s*origin\.(\w+)\.(debit|credit)\s*(?:\belse\b(.*))?", re.DOTALL)
MEMBER: Final = re.compile(
    r"\s*(\w+)\s*\[\s*origin\.(\w+)\.(debit|credit)\.key\s*\]\s*(?:\belse\b(.*))?", re.DOTALL
)


class LegShape(NamedTuple):
    """What other transactions may know of a leg.

    loops: how many `for_each` are nested.
    helped: the side that a shortfall or its mirror makes a part of its own, else empty.
    total: its amount is a total so far.
    """

    pending: bool
    loops: int
    code: int
    helped: str
    suspense: bool
    total: bool = False


class TransactionShape(NamedTuple):
    """What other transactions may know of one.

    fact: whether it has an idempotency_key.
    """

    fact: bool
    legs: Mapping[str, LegShape]

    def origin_legs(self) -> tuple[OriginLeg, ...]:
        """Where its accounts are found, in every form of chain that it may have made."""
        plain = [found for name, leg in self.legs.items() for found in _origin_legs(name, leg)]
        if not any(leg.suspense for leg in self.legs.values()):
            return tuple(plain)
        diverted = [
            found._replace(part=".".join(filter(None, (found.part, SUSPENSE))))
            for name, leg in self.legs.items()
            for found in _origin_legs(name, leg._replace(helped="") if leg.suspense else leg)
        ]
        return (*plain, *diverted)


def _origin_legs(name: str, leg: LegShape) -> list[OriginLeg]:
    if leg.loops or leg.total:
        return []
    if not leg.helped:
        return [OriginLeg(name, "", SIDES)]
    sides = SIDES if leg.helped == "debit" else SIDES[::-1]
    return [OriginLeg(name, "account", sides[:1]), OriginLeg(name, "", sides[1:])]


def read_predecessor(
    fields: YamlMapping, key: str, shapes: Mapping[str, TransactionShape]
) -> Predecessor | None:
    """`origin:` or `after:`; None where it is missing or wrong."""
    node = fields.node(key)
    if node is None:
        return None
    known = ORIGIN_KEYS if key == "origin" else AFTER_KEYS
    what = f"{fields.what}: {key}"
    inner = fields.inner(node, what, known=known, line=fields.line(key))
    if not (isinstance(node, Block) and inner.require("transaction", "key")):
        return None
    sources = _sources(inner, shapes)
    found = inner.expression("key")
    time = inner.expression("time")
    if found is not None and not found.roots:
        inner.wrong("key", "`key` is the same for every event")
    missing = cast("Missing", inner.choice("missing", get_args(Missing)))
    optional = inner.flag("optional")
    if optional and inner.has("missing"):
        inner.wrong("missing", "an `optional` origin is never waited for: leave `missing` out")
    if found is None or not sources:
        return None
    return Predecessor(sources, found, time, optional, missing)


def _sources(
    inner: YamlMapping, shapes: Mapping[str, TransactionShape]
) -> tuple[OriginTransaction, ...]:
    sources = []
    for name in inner.texts("transaction", single=True):
        shape = shapes.get(name)
        if shape is None:
            inner.wrong("transaction", f"there is no transaction {name!r}{near(name, shapes)}")
        elif not shape.origin_legs():
            inner.wrong("transaction", f"every leg of {name} has `for_each`: none can be looked up")
        else:
            sources.append(OriginTransaction(name, shape.fact, shape.origin_legs()))
    if len({source.transaction for source in sources}) != len(sources):
        inner.wrong("transaction", "`transaction` names one twice")
    return tuple(sources)


class ParsedUse(NamedTuple):
    """An account of the origin as a leg writes it.

    otherwise: the text after `else`.
    """

    leg: str
    side: Side
    family: str
    otherwise: str | None


def parse_use(text: str) -> ParsedUse | None:
    """`origin.LEG.debit` or `FAMILY[origin.LEG.debit.key]`, perhaps with `else ACCOUNT`."""
    whole, member = WHOLE.fullmatch(text), MEMBER.fullmatch(text)
    if whole:
        return ParsedUse(whole[1], cast("Side", whole[2]), "", whole[3])
    if member:
        return ParsedUse(member[2], cast("Side", member[3]), member[1], member[4])
    return None


def origin_problem(parsed: ParsedUse, origin: Predecessor | None) -> str:
    """What is wrong with naming this account of the origin; empty when nothing is."""
    if origin is None:
        return "the transaction has no `origin`"
    for source in origin.sources:
        legs = {leg.leg for leg in source.legs}
        if parsed.leg not in legs:
            hint = near(parsed.leg, legs) or " that is without `for_each`"
            return f"{source.transaction} has no leg {parsed.leg!r}{hint}"
    if (origin.optional or origin.missing == "else") and parsed.otherwise is None:
        return "the origin may be missing: say which account without it, `… else ACCOUNT`"
    return ""


def suspended_side(debit: Use | None, credit: Use | None, fields: YamlMapping) -> Side | None:
    """Which side a suspense account replaces: the one that is a family's, or an origin's."""
    open_sides: list[Side] = [
        side
        for side, use in zip(SIDES, (debit, credit), strict=True)
        if isinstance(use, OriginUse | NamedUse | KnownUse) or (use and use.account.per)
    ]
    if len(open_sides) == 1:
        return open_sides[0]
    which = "both sides are" if open_sides else "neither side is"
    fields.wrong("suspense", f"{which} a family's: say {{debit: …}} or {{credit: …}}")
    return None
