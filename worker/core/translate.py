"""Translation: an event becomes a Chain, Skipped or Dead by the rulebook, never an exception.

The fast rules run first; where they fail on a missing or ill-typed field, the precise ones run
once more and name it. The code from `_chain` down is hot and therefore plain.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from worker.core import predecessors, wire
from worker.core.account_ids import AccountRefs, BadKey
from worker.core.chain import AccountRef, Chain, Fill, Leg, LegSpec, Needs, new
from worker.core.compiled_rules import (
    CompiledAccount,
    CompiledExpression,
    CompiledKnown,
    CompiledLeg,
    CompiledNamed,
    CompiledOrigin,
    CompiledRules,
    CompiledSide,
    CompiledTransaction,
    TranslationRefused,
    compile_rulebook,
)
from worker.core.event import ATTEMPT_MAX, Dead, Event, Reason, Skipped
from worker.core.expressions.compiler import NamedValues
from worker.core.expressions.operators import ExpressionError, Value
from worker.core.ids import event_key, fact_tag, transfer_id
from worker.core.json_kinds import kind_of
from worker.core.keys import cached_suffix, hashed, idempotency_of, need, pending_ids, seconds
from worker.core.leg_specs import leg_specs
from worker.core.matching import Matcher, MatchTable, other_books
from worker.core.money import AMOUNT_LIMIT, Currency, amount_problem
from worker.core.predecessors import FoundAccounts
from worker.core.requirements import not_at_zero, unmet
from worker.core.rulebook import Rulebook

ITEMS_MAX: Final = 16_384
"""Items of all `for_each` of an event together: twice what any ledger takes in one batch."""

FAST_FAILURES: Final = (KeyError, TypeError, UnicodeEncodeError, ExpressionError, BadKey)
"""What the fast rules fail with; the precise ones then say what it is."""

ANY_ACCOUNT: Final = "*"
"""As the account of a translator: events of every Stripe account go into the same books."""

IGNORED: Final = Skipped("ignored")
NOTHING_TO_POST: Final = Skipped("nothing_to_post")


class Translator:
    """Turns events into chains by one rulebook. Not thread-safe.

    livemode: an event of the other mode is dead; None takes any.
    account: whose books these are, see `other_books`. An event that names neither is taken.
    """

    def __init__(
        self, rulebook: Rulebook, *, livemode: bool | None = None, account: str = ""
    ) -> None:
        self.rulebook = rulebook
        self._livemode = livemode
        self._account = account
        self._matcher = Matcher(rulebook)
        self._accounts = AccountRefs(rulebook.accounts.values())
        self._by_ledger = {each.ledger: each for each in rulebook.ledgers.values()}
        self._specs = leg_specs(rulebook)
        self._fast = compile_rulebook(rulebook, self._specs, precise=False)
        self._precise = compile_rulebook(rulebook, self._specs, precise=True)
        self._fills: list[Fill] = []
        """What the chain in the making takes from its origin."""

    def translate(
        self,
        event: Event,
        *,
        role: str,
        attempt: int = 0,
        diverted: bool = False,
        more: bool = False,
    ) -> Chain | Skipped | Dead:
        """What the event asks of the ledger.

        role: of the topic it came on.
        attempt: 0 to 7.
        diverted: for a chain that `suspends`, the one that is sent after the ledger has closed an
            account.
        more: for a chain that has `more`, the one that is sent where the ledger has less.
        """
        if not 0 <= attempt <= ATTEMPT_MAX:
            raise ValueError(f"attempt {attempt} is not within 0 to {ATTEMPT_MAX}")
        if problem := self._books_problem(event.body):
            return Dead(Reason.WRONG_MODE, problem)
        answers = self._matcher.answers(role, event.type)
        if not answers.allowed:
            return Dead(Reason.WRONG_TOPIC, f"a topic of role {role} may not carry this type")
        try:
            try:
                return self._answer(self._fast, answers, event, attempt, diverted, more)
            except FAST_FAILURES:
                return self._answer(self._precise, answers, event, attempt, diverted, more)
        except TranslationRefused as refused:
            return refused.dead

    def fill(self, chain: Chain, found: FoundAccounts, known: Collection[int] = ()) -> Chain | Dead:
        """The chain with its open accounts filled in; see `predecessors.fill`."""
        return predecessors.fill(chain, found, self._accounts, known)

    def name_account(self, account: wire.Account) -> AccountRef:
        """Names an account read from the ledger; one of no declared code is `code:1234`."""
        return self._accounts.name_account(account)

    def currency_of(self, ledger: int) -> Currency | None:
        """The currency of a ledger, None where the rulebook has none."""
        return self._by_ledger.get(ledger)

    def spec(self, transaction: str, leg: str) -> LegSpec | None:
        """The fixed part of a leg by its announced name (`gross`, `loss.account`)."""
        return self._specs.get((transaction, leg))

    def _books_problem(self, body: Value) -> str:
        said = body.get("livemode")
        if self._livemode is not None and said is not None and said is not self._livemode:
            return f"livemode is not {str(self._livemode).lower()}"
        account, context = body.get("account"), body.get("context")
        if (account or context) and self._account != ANY_ACCOUNT:
            return other_books(self._account, account, context)
        return ""

    def _answer(  # noqa: PLR0913, PLR0917 - keywords cost time
        self,
        rules: CompiledRules,
        answers: MatchTable,
        event: Event,
        attempt: int,
        diverted: bool,  # noqa: FBT001
        more: bool,  # noqa: FBT001
    ) -> Chain | Skipped | Dead:
        """The first transaction that matches, else ignored, else no rule."""
        for index in answers.transactions:
            rule = rules.transactions[index]
            if not rule.start <= event.created < rule.end:
                continue
            body = NamedValues(event.body, rule.lets) if rule.lets else event.body
            if rule.when is None or rule.when(body):
                if more:
                    rule = rules.follow_up(rule)
                    body = NamedValues(event.body, rule.lets)
                return self._chain(rule, event, body, attempt, diverted=diverted)
        for index in answers.ignore:
            when = rules.ignore[index]
            if when is None or when(event.body):
                return IGNORED
        return Dead(Reason.NO_RULE, _no_rule(answers))

    def _chain(
        self, rule: CompiledTransaction, event: Event, body: Value, attempt: int, *, diverted: bool
    ) -> Chain | Skipped:
        if rule.require and (dead := unmet(rule.name, rule.require, body)):
            raise TranslationRefused(dead.reason, dead.detail)
        if rule.waits:
            self._fills.clear()
        key = event_key(event.id) if rule.key is None else idempotency_of(rule, body)
        created = event.created if rule.time is None else rule.time.value(body)
        draft = _Draft(
            body=body,
            key_field=hashed(key),
            time_ms=seconds(created, rule.time) * 1000,
            attempt=attempt,
        )
        if rule.currency is not None:
            draft.currency = self._currency(rule.currency, rule.currency.value(body))
        for leg in rule.diverted if diverted else rule.legs:
            if leg.loops:
                self._each(leg, draft, (), "")
            else:
                self._leg(leg, draft, (), "")
        if not draft.legs:
            return NOTHING_TO_POST
        legs = tuple(draft.legs)
        if rule.memo and (dead := not_at_zero(rule.name, rule.memo, legs)):
            raise TranslationRefused(dead.reason, dead.detail)
        needs = self._needs(rule, body) if rule.waits else None
        suspends = rule.suspends and not diverted
        # fmt: off
        return new(Chain, (
            event, rule.name, key, fact_tag(key), attempt, legs, rule.sync, needs, suspends,
            diverted, rule.alert, rule.more,
        ))

    def _needs(self, rule: CompiledTransaction, body: Value) -> Needs:
        origin = need(rule.origin, body) if rule.origin is not None else None
        after = need(rule.after, body) if rule.after is not None else None
        return Needs(origin, after, tuple(self._fills))

    def _each(self, leg: CompiledLeg, draft: _Draft, items: tuple[Value, ...], index: str) -> None:
        """The leg for each item; index: the items' numbers, joined by dots (`3.0`)."""
        reading = leg.loops[len(items)]
        found = reading.value(draft.body, items)
        if type(found) is not list:
            raise TranslationRefused(Reason.MISSING_FIELD, f"{reading.text} is not a list")
        draft.items += len(found)
        if draft.items > ITEMS_MAX:
            raise TranslationRefused(
                Reason.TOO_MANY_LEGS, f"{reading.text} has more than {ITEMS_MAX} items"
            )
        for number, item in enumerate(found):
            item_index = f"{index}.{number}" if index else str(number)
            if len(items) + 1 < len(leg.loops):
                self._each(leg, draft, (*items, item), item_index)
            else:
                self._leg(leg, draft, (*items, item), item_index)

    def _leg(self, leg: CompiledLeg, draft: _Draft, items: tuple[Value, ...], index: str) -> None:
        body = draft.body
        if leg.when is not None and not leg.when.value(body, items):
            return
        currency = draft.currency
        if leg.currency is not None:
            currency = self._currency(leg.currency, leg.currency.value(body, items))
        if currency is None:
            raise TranslationRefused(Reason.UNKNOWN_CURRENCY, f"{leg.text} has no currency")
        amount = leg.without_amount
        if leg.amount is not None:
            amount = _amount(leg, leg.amount.text, leg.amount.value(body, items))
        if amount == 0 and not leg.keeps_zero:
            return
        if leg.pending is not None:
            ids = pending_ids(leg.pending, body, items, index)
            draft.add(leg.spec, currency, None, None, amount, index, ids)
            return
        debit = self._account_of(leg.debit, currency, body, items)
        credit = self._account_of(leg.credit, currency, body, items)
        if amount < 0:
            debit, credit, amount = credit, debit, -amount
        draft.add(leg.spec, currency, debit, credit, amount, index)
        for part in leg.parts:
            debit = self._account_of(part.debit, currency, body, items)
            credit = self._account_of(part.credit, currency, body, items)
            draft.add(part.spec, currency, debit, credit, amount, index)

    def _account_of(
        self, side: CompiledSide | None, currency: Currency, body: Value, items: tuple[Value, ...]
    ) -> AccountRef:
        if type(side) is not CompiledAccount:
            return self._from_origin(side, currency, body, items)
        key = "" if side.key is None else side.key.value(body, items)
        if key is None and side.if_null is not None:
            return self._account_of(side.if_null, currency, body, items)
        if key is None:
            raise TranslationRefused(Reason.MISSING_FIELD, f"{side.text} is null")
        try:
            return self._accounts.ref(side.account, currency.ledger, key)
        except BadKey as problem:
            raise TranslationRefused(Reason.BAD_KEY, f"{side.text} {problem}") from problem

    def _from_origin(
        self, side: CompiledSide | None, currency: Currency, body: Value, items: tuple[Value, ...]
    ) -> AccountRef:
        """A side that the event names, or that is filled in once the origin was found."""
        if isinstance(side, CompiledNamed):
            return self._named(side, currency, body, items)
        if isinstance(side, CompiledKnown):
            return self._by_known(side, currency, body, items)
        if not isinstance(side, CompiledOrigin):
            raise TranslationRefused(Reason.MISSING_FIELD, "the leg names no account")
        otherwise = None
        if side.otherwise is not None:
            otherwise = self._account_of(side.otherwise, currency, body, items)
        fill = Fill(side.leg, side.side, side.family, currency.ledger, otherwise, side.text)
        return self._to_fill(fill)

    def _by_known(
        self, side: CompiledKnown, currency: Currency, body: Value, items: tuple[Value, ...]
    ) -> AccountRef:
        account, known, otherwise = (
            self._account_of(each, currency, body, items)
            for each in (side.account, side.known, side.otherwise)
        )
        text = side.text
        return self._to_fill(
            Fill("", "debit", None, currency.ledger, otherwise, text, known, account)
        )

    def _to_fill(self, fill: Fill) -> AccountRef:
        """A stand-in for an account that the ledger is asked about."""
        if fill not in self._fills:
            self._fills.append(fill)
        number = -self._fills.index(fill) - 1
        return AccountRef(number, fill.text, "", fill.ledger, 0, 0)

    def _named(
        self, side: CompiledNamed, currency: Currency, body: Value, items: tuple[Value, ...]
    ) -> AccountRef:
        """The account that the event names, with a key where it is a family's and only there."""
        name, key = side.name.value(body, items), side.key.value(body, items)
        if name is None:
            raise TranslationRefused(Reason.MISSING_FIELD, f"{side.name.text} is null")
        account = side.accounts.get(name) if type(name) is str else None
        if account is None:
            problem = f"{side.name.text} is no declared account that may be named"
        elif key in (None, "") and account.per:
            problem = f"{side.key.text} is missing: the account is one of a family"
        elif not (key in (None, "") or account.per):
            problem = f"{side.key.text} is given to an account without `per`"
        else:
            problem = ""
        if account is None or problem:
            raise TranslationRefused(Reason.BAD_KEY, problem)
        try:
            return self._accounts.ref(account, currency.ledger, key or "")
        except BadKey as error:
            raise TranslationRefused(Reason.BAD_KEY, f"{side.key.text} {error}") from error

    def _currency(self, reading: CompiledExpression, value: Value) -> Currency:
        found = self.rulebook.ledgers.get(value) if type(value) is str else None
        if found is not None:
            return found
        if value is None:
            raise TranslationRefused(Reason.MISSING_FIELD, f"{reading.text} is null")
        raise TranslationRefused(
            Reason.UNKNOWN_CURRENCY,
            f"{reading.text} is no currency with a ledger{self._currency_hint(value)}",
        )

    def _currency_hint(self, value: Value) -> str:
        if type(value) is not str:
            return f" but {kind_of(value)}"
        capitals = value.lower() in self.rulebook.ledgers
        return ": it is in capitals, which `lenient: true` takes" if capitals else ""


class _Draft:
    """A chain in the making: what its legs share, and the legs so far."""

    __slots__ = ("attempt", "body", "currency", "items", "key_field", "legs", "time_ms")

    def __init__(
        self,
        *,
        body: Value,
        key_field: bytes,
        time_ms: int,
        attempt: int,
    ) -> None:
        self.body = body
        self.key_field = key_field
        self.time_ms = time_ms
        self.currency: Currency | None = None
        self.attempt = attempt
        self.legs: list[Leg] = []
        self.items = 0

    def add(  # noqa: PLR0913, PLR0917 - one argument per field of a leg, and keywords cost time
        self,
        spec: LegSpec,
        currency: Currency,
        debit: AccountRef | None,
        credit: AccountRef | None,
        amount: int,
        index: str,
        pending_ids: tuple[int, ...] = (),
    ) -> None:
        """One more leg; this is where money is checked the first time."""
        if debit is not None and credit is not None and debit.id == credit.id:
            leg_name = f"{spec.transaction}.{spec.name}"
            raise TranslationRefused(
                Reason.SAME_ACCOUNT, f"{leg_name} debits and credits one account"
            )
        suffix = spec.suffix
        if index or self.attempt:
            suffix = cached_suffix(spec.leg, index, spec.part, self.attempt)
        made = transfer_id(time_ms=self.time_ms, key_field=self.key_field, suffix=suffix)
        self.legs.append(new(Leg, (spec, currency, made, debit, credit, amount, pending_ids)))


def _no_rule(answers: MatchTable) -> str:
    if answers.transactions:
        return "no transaction of this type accepts the event, and nothing ignores it"
    return "no transaction answers this type, and nothing ignores it"


def _amount(leg: CompiledLeg, text: str, amount: Value) -> int:
    if type(amount) is int and 0 <= amount <= AMOUNT_LIMIT:
        return amount
    if amount is None:
        raise TranslationRefused(Reason.MISSING_FIELD, f"{text} is null")
    problem = amount_problem(amount, signed=leg.signed)
    if problem:
        raise TranslationRefused(Reason.BAD_AMOUNT, f"{text} {problem}")
    return int(amount)
