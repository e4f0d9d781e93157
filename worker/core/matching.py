"""Which rules answer a type of event, cached within a bound."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from worker.core.expressions.operators import Value
from worker.core.rulebook import Rulebook
from worker.core.topic_rule import TopicRule

TYPES_MAX: Final = 4_096
"""How many types are remembered per role; more are decided anew each time."""


class MatchTable(NamedTuple):
    """What a rulebook has for one type on one role.

    allowed: whether a topic of the role may carry the type.
    transactions, ignore: indexes into the rulebook's lists, in file order.
    """

    allowed: bool
    transactions: tuple[int, ...]
    ignore: tuple[int, ...]


def matches(event_type: str, patterns: Sequence[str]) -> bool:
    """Whether any glob names the type, and none that starts with `!` takes it out again."""
    taken_out = any(fnmatchcase(event_type, each[1:]) for each in patterns if each[0] == "!")
    return not taken_out and any(
        fnmatchcase(event_type, each) for each in patterns if each[0] != "!"
    )


def carries(topic: TopicRule | None, event_type: str) -> bool:
    """Whether a topic may carry a type; a role that is not listed carries anything."""
    return topic is None or matches(event_type, topic.types)


class Matcher:
    """The rules by role and type."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook
        self._known: dict[tuple[str, str], MatchTable] = {}

    def answers(self, role: str, event_type: str) -> MatchTable:
        """What answers a type that comes on a role's topic."""
        found = self._known.get((role, event_type))
        if found is None:
            found = self._decide(role, event_type)
            if len(self._known) < TYPES_MAX:
                self._known[role, event_type] = found
        return found

    def _decide(self, role: str, event_type: str) -> MatchTable:
        book = self._rulebook
        return MatchTable(
            carries(book.topics.get(role), event_type),
            _matching_indexes(event_type, [each.on for each in book.transactions]),
            _matching_indexes(event_type, [(each.pattern,) for each in book.ignore]),
        )


def _matching_indexes(event_type: str, patterns: Sequence[Sequence[str]]) -> tuple[int, ...]:
    return tuple(index for index, globs in enumerate(patterns) if matches(event_type, globs))


def other_books(books: str, account: Value, context: Value) -> str:
    """Why an event that names an account or a context is not of these books; empty when it is.

    | books    | account  | context             |                                                  |
    |----------|----------|---------------------|--------------------------------------------------|
    | ""       | "acct_2" |                     | refused: the platform's own events name none     |
    | ""       |          | "acct_2"            | refused                                          |
    | "acct_2" | "acct_2" | "acct_1/acct_2"     | taken: a context is the way to the account       |
    | "acct_2" |          | "acct_2"            | taken: one of an organisation's accounts         |
    | "acct_2" | "acct_3" |                     | refused                                          |

    Stripe, "Adds context field to event payload": Connect's events have both, an organisation's the
    context.
    """
    if not books:
        return f"{'account' if account else 'context'} names another's books than the platform's"
    if account and account != books:
        return "account is another Stripe account"
    if context and not (type(context) is str and context.rsplit("/", 1)[-1] == books):
        return "context is another Stripe account's"
    return ""
