"""Which entries of a bank statement are which movements of the books: one to one, or in groups.

What names the same payout belongs together; else the amount decides, within so many days:

| step | entries | movements | tied where |
|---|---|---|---|
| named | any | of one or more payouts | an entry's text names them, and the sums are equal |
| alone | one | one | the amount is equal; the earliest first |
| day | one, or several | several, or one | all of one day come to the amount |
| some | one, or several | several, or one | exactly one choice of at most eight comes to it |
| undone | two | none | one undoes the other: a payout that came back, never paid in the books |
| undone | none | two | the same, of one payout that the bank never had |

A choice that is not the only one ties nothing: nobody knows which it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple

GROUP_MAX: Final = 8
"""Movements that are tried together for one entry, and entries for one movement."""

WINDOW_MAX: Final = 24
"""Candidates among which a choice is looked for; more would take too long."""

RETURNED_WITHIN: Final = 30
"""Days after which an entry of the bank is no reversal of an earlier one."""

TRIES_MAX: Final = 50_000
"""Choices that are tried for one amount."""


class Movement(NamedTuple):
    """What changed the bank account, on one of both sides.

    key: its name. ledger: the currency. amount: minor units, positive where money came in.
    day: days since 1970. names: what it is called; an entry has the words of its text.
    undoes: an entry that the bank marks as a reversal.
    """

    key: str
    ledger: int
    amount: int
    day: int
    names: frozenset[str] = frozenset()
    undoes: bool = False


class Tie(NamedTuple):
    """What belongs together; `equal` is false where the names do and the amounts do not."""

    entries: tuple[Movement, ...]
    movements: tuple[Movement, ...]
    equal: bool = True


@dataclass(slots=True)
class _Open:
    """What is not tied yet."""

    days: int
    entries: dict[str, Movement]
    movements: dict[str, Movement]
    ties: list[Tie] = field(default_factory=list)

    def tie(
        self, entries: Iterable[Movement], movements: Iterable[Movement], *, equal: bool = True
    ) -> None:
        made = Tie(tuple(entries), tuple(movements), equal)
        self.ties.append(made)
        for entry in made.entries:
            del self.entries[entry.key]
        for movement in made.movements:
            del self.movements[movement.key]


def tie_bank(entries: Iterable[Movement], movements: Iterable[Movement], *, days: int) -> list[Tie]:
    """What belongs together; what is in no tie is on one side only.

    days: how far an entry's day may be from its movement's.
    """
    still = _Open(days, {one.key: one for one in entries}, {one.key: one for one in movements})
    _named(still)
    _alone(still)
    _together(still, still.entries, still.movements, swapped=False)
    _together(still, still.movements, still.entries, swapped=True)
    _undone(still)
    return still.ties


def _named(still: _Open) -> None:
    """Entries that name payouts.

    Where the sums differ, what pairs off is tied, and the rest is one tie that is not equal.
    """
    by_name: dict[tuple[int, str], list[Movement]] = {}
    for movement in still.movements.values():
        for name in movement.names:
            by_name.setdefault((movement.ledger, name), []).append(movement)
    for entries, movements in _components(still.entries.values(), by_name):
        if sum(one.amount for one in entries) == sum(one.amount for one in movements):
            still.tie(entries, movements)
            continue
        pairs, left_entries, left_movements = _pair_off(entries, movements)
        for entry, movement in pairs:
            still.tie([entry], [movement])
        if left_entries and left_movements:
            still.tie(left_entries, left_movements, equal=False)


def _components(
    entries: Iterable[Movement], by_name: dict[tuple[int, str], list[Movement]]
) -> list[tuple[list[Movement], list[Movement]]]:
    """Entries and the movements that they name, with all that is linked by another entry."""
    numbers = count()
    group_of: dict[str, int] = {}
    groups: dict[int, tuple[list[Movement], list[Movement]]] = {}
    for entry in entries:
        named = {
            movement.key: movement
            for word in sorted(entry.names)
            for movement in by_name.get((entry.ledger, word), ())
        }
        if not named:
            continue
        joined = sorted({group_of[key] for key in named if key in group_of})
        number = joined[0] if joined else next(numbers)
        into = groups.setdefault(number, ([], []))
        for other in joined[1:]:
            for mine, theirs in zip(into, groups.pop(other), strict=True):
                mine.extend(theirs)
        into[0].append(entry)
        into[1].extend(one for key, one in named.items() if key not in group_of)
        group_of.update(dict.fromkeys((one.key for one in into[1]), number))
    return list(groups.values())


def _pair_off(
    entries: Sequence[Movement], movements: Sequence[Movement]
) -> tuple[list[tuple[Movement, Movement]], list[Movement], list[Movement]]:
    left = list(movements)
    pairs, alone = [], []
    for entry in entries:
        same = next((one for one in left if one.amount == entry.amount), None)
        if same is None:
            alone.append(entry)
        else:
            left.remove(same)
            pairs.append((entry, same))
    return pairs, alone, left


def _alone(still: _Open) -> None:
    """The same amount on both sides, earliest first: no other order ties more."""
    waiting: dict[tuple[int, int], list[Movement]] = {}
    for movement in sorted(still.movements.values(), key=_by_day, reverse=True):
        waiting.setdefault((movement.ledger, movement.amount), []).append(movement)
    for entry in sorted(still.entries.values(), key=_by_day):
        found = waiting.get((entry.ledger, entry.amount), [])
        while found and found[-1].day < entry.day - still.days:
            found.pop()
        if found and found[-1].day <= entry.day + still.days:
            still.tie([entry], [found.pop()])


def _by_day(movement: Movement) -> tuple[int, str]:
    return movement.day, movement.key


def _together(
    still: _Open, singles: dict[str, Movement], many: dict[str, Movement], *, swapped: bool
) -> None:
    """One of a side, and several of the other."""
    by_day: dict[tuple[int, int, bool], dict[str, Movement]] = {}
    for one in sorted(many.values(), key=_by_day):
        by_day.setdefault((one.ledger, one.day, one.amount > 0), {})[one.key] = one
    for single in sorted(singles.values(), key=_by_day):
        near = [
            by_day.get((single.ledger, single.day + off, single.amount > 0), {})
            for off in sorted(range(-still.days, still.days + 1), key=abs)
        ]
        group = _whole_day(single.amount, near) or _choice(single.amount, near)
        if group:
            still.tie(*((group, [single]) if swapped else ([single], group)))
            for one in group:
                del by_day[one.ledger, one.day, one.amount > 0][one.key]


def _whole_day(amount: int, near: Sequence[dict[str, Movement]]) -> list[Movement]:
    """All of the one day that comes to the amount; none where two days do."""
    found = [list(day.values()) for day in near if day and _sum(day.values()) == amount]
    return found[0] if len(found) == 1 else []


def _sum(movements: Iterable[Movement]) -> int:
    return sum(one.amount for one in movements)


def _choice(amount: int, near: Sequence[dict[str, Movement]]) -> list[Movement]:
    """The only choice that comes to the amount, or nothing."""
    found = [one for day in near for one in day.values() if abs(one.amount) < abs(amount)]
    if len(found) > WINDOW_MAX or abs(_sum(found)) < abs(amount):
        return []
    found.sort(key=lambda one: (-abs(one.amount), one.key))
    choices: list[list[Movement]] = []
    tries = 0

    def look(at: int, lacking: int, chosen: list[Movement]) -> None:
        nonlocal tries
        tries += 1
        if lacking == 0:
            choices.append(chosen)
            return
        if len(chosen) == GROUP_MAX or tries > TRIES_MAX:
            return
        for number in range(at, len(found)):
            if len(choices) > 1:
                return
            if abs(found[number].amount) <= lacking:
                one = found[number]
                look(number + 1, lacking - abs(one.amount), [*chosen, one])

    look(0, abs(amount), [])
    return choices[0] if len(choices) == 1 and tries <= TRIES_MAX else []


def _undone(still: _Open) -> None:
    """What came and went on one side only."""
    for pair in _opposites(list(still.entries.values()), RETURNED_WITHIN):
        still.tie(pair, [])
    for pair in _opposites(list(still.movements.values()), None):
        still.tie([], pair)


def _opposites(found: list[Movement], days: int | None) -> list[tuple[Movement, Movement]]:
    """Two that cancel: a reversal and what it undoes, or two of the same name.

    days: how long after an entry its reversal may come; None: however long.
    """
    pairs, used = [], set()
    by_amount: dict[tuple[int, int], list[Movement]] = {}
    for one in sorted(found, key=_by_day):
        earlier = by_amount.get((one.ledger, -one.amount), [])
        match = next(
            (
                other
                for other in reversed(earlier)
                if other.key not in used
                and (one.undoes or one.names & other.names)
                and (days is None or one.day - other.day <= days)
            ),
            None,
        )
        if match is None:
            by_amount.setdefault((one.ledger, one.amount), []).append(one)
        else:
            used.add(match.key)
            pairs.append((match, one))
    return pairs
