"""Examples with numbers for the rules of a rulebook, made by the real translator and poster.

Generated traffic goes to a ledger in memory, and the first event that each rule posts is its
example. A rule that none of it reaches gets an event made from the rule itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Final, cast

import orjson

from worker.codecs.decode import Decoder
from worker.core.assignment import Assignment
from worker.core.chain import AccountRef, Chain
from worker.core.event import Dead, Event, Skipped
from worker.core.matching import carries
from worker.core.money import Currency, major_units
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.ports import Record
from worker.core.rulebook import Rulebook, Transaction
from worker.core.translate import Translator
from worker.jobs.examples.made_events import growing, made_event
from worker.jobs.generate.encode import json_value
from worker.jobs.generate.traffic import generate
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.rule_paths import expressions, keys_of, paths, tree_of
from worker.rulebooks.worked_example import ExampleAccount, ExampleMovement, WorkedExample
from worker.stages.item import Item
from worker.stages.post.poster import Poster

EVENTS_MAX: Final = 6_000
SEED: Final = 1
FACTS_MAX: Final = 12
UNTIL: Final = 1 << 40


def work_examples(translator: Translator) -> dict[str, WorkedExample]:
    """An example by transaction; a rule without one could not be reached."""
    books = _ExampleBooks(translator)
    rulebook = translator.rulebook
    found: dict[str, WorkedExample] = {}
    for role, event in _traffic():
        if len(found) == len(rulebook.transactions):
            break
        name, movements = books.post(event, role, refused=False)
        if name not in found and any(each.amount.strip("0.") for each in movements):
            found[name] = _example(books.rule(name), event, movements)
    for rule in rulebook.transactions:
        if rule.name not in found:
            for made in _made(rule, rulebook):
                name, movements = books.post(made, books.role(made), refused=True)
                if movements and name == rule.name and name not in found:
                    found[name] = _example(rule, made, movements)
    return found


def _made(rule: Transaction, rulebook: Rulebook) -> Iterator[Event]:
    """An event made from the rule; for one that books what is more, pairs of them."""
    before = next((each for each in rulebook.transactions if each.more == rule.name), None)
    body = made_event(before or rule, rulebook)
    bodies = [body] if before is None else growing(body)
    for each in bodies:
        event = _decoded(orjson.dumps(each))
        if event is not None:
            yield event


def _traffic() -> Iterator[tuple[str, Event]]:
    for record in generate(EVENTS_MAX, SEED):
        event = _decoded(json_value(record))
        if event is not None:
            yield record.role, event


def _decoded(value: bytes) -> Event | None:
    event = Decoder().decode(value)
    return None if isinstance(event, Dead) else event


class _ExampleBooks:
    """A ledger in memory, posted to event by event."""

    def __init__(self, translator: Translator) -> None:
        self._rulebook = rulebook = translator.rulebook
        self._rules = {rule.name: rule for rule in rulebook.transactions}
        self._translator = translator
        self._poster = Poster(EmbeddedLedger(), self._translator, parked_max=0)
        self._assignment = Assignment(
            "examples", 0, "examples", 1 << UNTIL.bit_length(), until=UNTIL
        )
        self._offsets = count()

    def rule(self, name: str) -> Transaction:
        """A transaction by its name."""
        return self._rules[name]

    def role(self, event: Event) -> str:
        """A role whose topic may carry the event."""
        topics = self._rulebook.topics.items()
        return next((role for role, topic in topics if carries(topic, event.type)), "")

    def post(
        self, event: Event, role: str, *, refused: bool
    ) -> tuple[str, tuple[ExampleMovement, ...]]:
        """The transaction that took the event, and what it moved.

        refused: what it would move counts too, where an account lacks the money.
        """
        translated = self._translator.translate(event, role=role)
        if isinstance(translated, Skipped | Dead):
            return "", ()
        outcome = self._posted(translated)
        if outcome.kind is OutcomeKind.POSTED:
            return outcome.transaction, tuple(
                _movement(
                    leg.spec.name, leg.spec.kind, (leg.debit, leg.credit), leg.amount, leg.currency
                )
                for leg in outcome.legs
            )
        lacking = refused and outcome.kind is OutcomeKind.REJECTED
        return translated.transaction, _requested(translated) if lacking else ()

    def _posted(self, chain: Chain) -> Outcome:
        record = cast("Record", None)
        item = Item(record, self._assignment, next(self._offsets), 1, "", chain)
        (outcome,) = self._poster.post([item])
        return outcome


def _requested(chain: Chain) -> tuple[ExampleMovement, ...]:
    return tuple(
        _movement(leg.spec.name, leg.spec.kind, (leg.debit, leg.credit), leg.amount, leg.currency)
        for leg in chain.legs
        if leg.debit is not None and leg.credit is not None
    )


def _movement(
    name: str, kind: str, sides: tuple[AccountRef, AccountRef], amount: int, currency: Currency
) -> ExampleMovement:
    debit, credit = (ExampleAccount(ref.name, ref.key) for ref in sides)
    major = major_units(amount, currency.scale)
    return ExampleMovement(name, debit, credit, major, currency.name.upper(), kind)


def _example(
    rule: Transaction, event: Event, movements: tuple[ExampleMovement, ...]
) -> WorkedExample:
    return WorkedExample(event.type, tuple(_facts(rule, event)), movements)


def _facts(rule: Transaction, event: Event) -> Iterator[tuple[str, str]]:
    """The fields that the rule reads and the event has, as written in the rule."""
    seen: dict[str, str] = {}
    for expression in expressions(rule):
        for path in paths(tree_of(expression)):
            value: Any = event.body if path.root in event.body else {}
            for key in (path.root, *keys_of(path)):
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None and path.root != "type":
                seen.setdefault(".".join((path.root, *keys_of(path))), _shown(value))
    yield from list(seen.items())[:FACTS_MAX]


def _shown(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
