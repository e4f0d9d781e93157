"""A worked example of a rule: an event, and what it moved on a ledger."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExampleAccount:
    """One account of an example.

    key: of its family, "" without one.
    """

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class ExampleMovement:
    """One transfer as posted.

    leg: as announced, `loss` or `loss.shortfall`.
    amount: major units as text.
    currency: upper case.
    kind: `posted`, `pending`, `post` or `void`.
    """

    leg: str
    debit: ExampleAccount
    credit: ExampleAccount
    amount: str
    currency: str
    kind: str


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """One event, and what its rule does with it.

    kind: the event's type.
    facts: its fields that the rule reads, name and value.
    """

    kind: str
    facts: tuple[tuple[str, str], ...]
    movements: tuple[ExampleMovement, ...]
