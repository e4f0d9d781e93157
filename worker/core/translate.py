"""Translation: what an event means in money, by the rulebook.

The invariant: pure and total. The same event and rulebook give the same chain on every machine, and
whatever the event holds, the answer is a Chain, Skipped or Dead, never an exception. Imports the
core only.

An event is translated by the fast plans; where those trip over a missing or ill-typed field, the
precise plans run once more and say which one. The code from `_chain` down is hot and therefore
plain; the benchmarks guard it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from worker.core import wire
from worker.core.accounts import Accounts, BadKey, key_problem
from worker.core.chain import AccountRef, Chain, Currency, Leg, LegSpec
from worker.core.event import ATTEMPT_MAX, CREATED_MAX, Dead, Event, Reason, Skipped
from worker.core.ids import event_key, fact_key, fact_tag, field, leg_suffix, transfer_id
from worker.core.matching import Answers, Matcher
from worker.core.money import AMOUNT_LIMIT, amount_problem
from worker.core.operations import ExpressionError, Value
from worker.core.plans import (
    AccountPlan,
    LegPlan,
    PendingPlan,
    Plans,
    Reading,
    Refused,
    TransactionPlan,
    fast,
    leg_specs,
    plan_rulebook,
    precise,
)
from worker.core.rulebook import Priority, Rulebook

ITEMS_MAX: Final = 16_384
"""Items of all `for_each` of an event together: twice what any ledger takes in one batch."""

FACT_LIMIT: Final = 1 << 63

IGNORED: Final = Skipped("ignored")
NOTHING_TO_POST: Final = Skipped("nothing_to_post")

cached_suffix = lru_cache(maxsize=4_096)(leg_suffix)


class Translator:
    """Turns events into chains by one rulebook.

    livemode: None takes any event; else one that says the other mode is dead. account: empty takes
    any; else an event that names another Stripe account is dead. An event that says neither, such
    as a wallet command, is taken. Not thread-safe: one thread owns it.
    """

    def __init__(
        self, rulebook: Rulebook, *, livemode: bool | None = None, account: str = ""
    ) -> None:
        self.rulebook = rulebook
        self._livemode = livemode
        self._account = account
        self._guarded = livemode is not None or bool(account)
        self._matcher = Matcher(rulebook)
        self._accounts = Accounts(rulebook.accounts.values())
        self._by_ledger = {each.ledger: each for each in rulebook.ledgers.values()}
        self._specs = leg_specs(rulebook)
        self._fast = plan_rulebook(rulebook, self._specs, fast)
        self._precise = plan_rulebook(rulebook, self._specs, precise)

    def translate(self, event: Event, *, role: str, attempt: int = 0) -> Chain | Skipped | Dead:
        """What the event asks of the ledger. role: of the topic it came on; attempt: 0 to 7."""
        if not 0 <= attempt <= ATTEMPT_MAX:
            raise ValueError(f"attempt {attempt} is not within 0 to {ATTEMPT_MAX}")
        if self._guarded and (problem := self._mode_problem(event)):
            return Dead(Reason.WRONG_MODE, problem)
        answers = self._matcher.answers(role, event.type)
        if not answers.allowed:
            return Dead(Reason.WRONG_TOPIC, f"a topic of role {role} may not carry this type")
        try:
            try:
                return self._answer(self._fast, answers, event, attempt)
            except (KeyError, TypeError, ExpressionError):
                return self._answer(self._precise, answers, event, attempt)
        except Refused as refused:
            return refused.dead

    def role_priority(self, role: str) -> Priority:
        """How soon the role's topic is drained when there is a backlog."""
        topic = self.rulebook.topics.get(role)
        return topic.priority if topic else "normal"

    @property
    def high_priority_roles(self) -> frozenset[str]:
        """The roles whose topics are drained first."""
        topics = self.rulebook.topics.values()
        return frozenset(topic.role for topic in topics if topic.priority == "high")

    def name_account(self, account: wire.Account) -> AccountRef:
        """Names an account read from the ledger; one of no declared code is `code:1234`."""
        return self._accounts.named(account)

    def currency_of(self, ledger: int) -> Currency | None:
        """The currency of a ledger, None where the rulebook has none."""
        return self._by_ledger.get(ledger)

    def spec(self, transaction: str, leg: str) -> LegSpec | None:
        """The fixed part of a leg by its announced name (`gross`, `loss.account`)."""
        return self._specs.get((transaction, leg))

    def _mode_problem(self, event: Event) -> str:
        said = event.body.get("livemode")
        if self._livemode is not None and said is not None and said is not self._livemode:
            return f"livemode is not {str(self._livemode).lower()}"
        account = event.body.get("account")
        if self._account and account is not None and account != self._account:
            return "account is another Stripe account"
        return ""

    def _answer(
        self, plans: Plans, answers: Answers, event: Event, attempt: int
    ) -> Chain | Skipped | Dead:
        """The first transaction that matches, else ignored, else no rule."""
        for place in answers.transactions:
            plan = plans.transactions[place]
            if plan.start <= event.created < plan.end and (
                plan.when is None or plan.when(event.body)
            ):
                return self._chain(plan, event, attempt)
        for place in answers.ignore:
            when = plans.ignore[place]
            if when is None or when(event.body):
                return IGNORED
        return Dead(Reason.NO_RULE, _no_rule(answers))

    def _chain(self, plan: TransactionPlan, event: Event, attempt: int) -> Chain | Skipped:
        body = event.body
        key = event_key(event.id) if plan.key is None else _fact(plan, body)
        created = event.created if plan.time is None else plan.time.run(body)
        draft = _Draft(
            body=body,
            key_field=_hashed(key),
            time_ms=_seconds(created, plan.time) * 1000,
            currency=plan.currency and self._currency(plan.currency, plan.currency.run(body)),
            attempt=attempt,
        )
        for leg in plan.legs:
            if leg.loops:
                self._each(leg, draft, (), "")
            else:
                self._leg(leg, draft, (), "")
        if not draft.legs:
            return NOTHING_TO_POST
        legs = tuple(draft.legs)
        return Chain(event, plan.name, key, fact_tag(key), attempt, legs, plan.sync)

    def _each(self, leg: LegPlan, draft: _Draft, items: tuple[Value, ...], index: str) -> None:
        """The leg for each item; index: the items' places, joined by dots (`3.0`)."""
        reading = leg.loops[len(items)]
        found = reading.run(draft.body, *items)
        if type(found) is not list:
            raise Refused(Reason.MISSING_FIELD, f"{reading.text} is not a list")
        draft.items += len(found)
        if draft.items > ITEMS_MAX:
            raise Refused(Reason.TOO_MANY_LEGS, f"{reading.text} has more than {ITEMS_MAX} items")
        for number, item in enumerate(found):
            place = f"{index}.{number}" if index else str(number)
            if len(items) + 1 < len(leg.loops):
                self._each(leg, draft, (*items, item), place)
            else:
                self._leg(leg, draft, (*items, item), place)

    def _leg(self, leg: LegPlan, draft: _Draft, items: tuple[Value, ...], index: str) -> None:
        body = draft.body
        if leg.when is not None and not leg.when(body, *items):
            return
        currency = draft.currency
        if leg.currency is not None:
            currency = self._currency(leg.currency, leg.currency.run(body, *items))
        if currency is None:
            raise Refused(Reason.UNKNOWN_CURRENCY, f"{leg.text} has no currency")
        amount = leg.without_amount
        if leg.amount is not None:
            amount = _amount(leg, leg.amount.text, leg.amount.run(body, *items))
        if amount == 0 and not leg.keeps_zero:
            return
        if leg.pending is not None:
            ids = _pending_ids(leg.pending, body, items, index)
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
        self, plan: AccountPlan | None, currency: Currency, body: Value, items: tuple[Value, ...]
    ) -> AccountRef:
        if plan is None:
            raise Refused(Reason.MISSING_FIELD, "the leg names no account")
        key = "" if plan.key is None else plan.key(body, *items)
        if key is None:
            raise Refused(Reason.MISSING_FIELD, f"{plan.text} is null")
        try:
            return self._accounts.ref(plan.account, currency.ledger, key)
        except BadKey as problem:
            raise Refused(Reason.BAD_KEY, f"{plan.text} {problem}") from problem

    def _currency(self, reading: Reading, value: Value) -> Currency:
        found = self.rulebook.ledgers.get(value) if type(value) is str else None
        if found is not None:
            return found
        if value is None:
            raise Refused(Reason.MISSING_FIELD, f"{reading.text} is null")
        raise Refused(Reason.UNKNOWN_CURRENCY, f"{reading.text} is no currency with a ledger")


class _Draft:
    """A chain in the making: what its legs share, and the legs so far."""

    __slots__ = ("attempt", "body", "currency", "items", "key_field", "legs", "time_ms")

    def __init__(
        self,
        *,
        body: Value,
        key_field: bytes,
        time_ms: int,
        currency: Currency | None,
        attempt: int,
    ) -> None:
        self.body = body
        self.key_field = key_field
        self.time_ms = time_ms
        self.currency = currency
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
            place = f"{spec.transaction}.{spec.name}"
            raise Refused(Reason.SAME_ACCOUNT, f"{place} debits and credits one account")
        suffix = spec.suffix
        if index or self.attempt:
            suffix = cached_suffix(spec.leg, index, spec.part, self.attempt)
        made = transfer_id(time_ms=self.time_ms, key_field=self.key_field, suffix=suffix)
        self.legs.append(Leg(spec, currency, made, debit, credit, amount, pending_ids))


def _no_rule(answers: Answers) -> str:
    if answers.transactions:
        return "no transaction of this type accepts the event, and nothing ignores it"
    return "no transaction answers this type, and nothing ignores it"


def _amount(leg: LegPlan, text: str, amount: Value) -> int:
    if type(amount) is int and 0 <= amount <= AMOUNT_LIMIT:
        return amount
    if amount is None:
        raise Refused(Reason.MISSING_FIELD, f"{text} is null")
    problem = amount_problem(amount, signed=leg.signed)
    if problem:
        raise Refused(Reason.BAD_AMOUNT, f"{text} {problem}")
    return int(amount)


def _fact(plan: TransactionPlan, body: Value) -> str:
    if plan.key is None:
        raise Refused(Reason.BAD_KEY, f"{plan.name} has no idempotency_key")
    return fact_key(plan.name, _fact_value(plan.key, plan.key.run(body)))


def _fact_value(reading: Reading, value: Value) -> str | int:
    """What names a fact: a string as for a family key, or a whole number of 64 bits."""
    if value is None:
        raise Refused(Reason.MISSING_FIELD, f"{reading.text} is null")
    if type(value) is int:
        if -FACT_LIMIT <= value < FACT_LIMIT:
            return value
        raise Refused(Reason.BAD_KEY, f"{reading.text} is outside 64 bits")
    problem = key_problem(value)
    if problem:
        raise Refused(Reason.BAD_KEY, f"{reading.text} {problem}")
    return str(value)


def _hashed(key: str) -> bytes:
    """The key as a hashed field; an event's id was not looked at before."""
    try:
        return field(key)
    except UnicodeEncodeError as error:
        raise Refused(Reason.BAD_KEY, "id holds a lone surrogate") from error


def _seconds(value: Value, reading: Reading | None) -> int:
    if type(value) is int and 0 <= value <= CREATED_MAX:
        return value
    text = reading.text if reading else "created"
    if value is None:
        raise Refused(Reason.MISSING_FIELD, f"{text} is null")
    raise Refused(Reason.BAD_TIME, f"{text} is not a second within 0 to {CREATED_MAX}")


def _pending_ids(
    plan: PendingPlan, body: Value, items: tuple[Value, ...], index: str
) -> tuple[int, ...]:
    """The id that the reservation has at each attempt."""
    value = _fact_value(plan.key, plan.key.run(body, *items))
    key = fact_key(plan.transaction, value) if plan.fact else event_key(str(value))
    key_field = field(key)
    time_ms = _seconds(plan.time.run(body, *items), plan.time) * 1000
    return tuple(
        transfer_id(
            time_ms=time_ms,
            key_field=key_field,
            suffix=cached_suffix(plan.leg, index, "", attempt),
        )
        for attempt in range(ATTEMPT_MAX + 1)
    )
