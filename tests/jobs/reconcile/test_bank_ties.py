"""Which entries of a bank statement are tied to which movements of the books."""

from __future__ import annotations

import time

import pytest

from worker.jobs.reconcile.bank_ties import Movement, tie_bank

Short = tuple[str, int, int] | tuple[str, int, int, str]


def moved(row: Short, *, undoes: bool = False) -> Movement:
    """Key, amount, day and names."""
    key, amount, day, *names = row
    words = frozenset(" ".join(names).split())
    return Movement(key, 840, amount, day, words, undoes=undoes and key.endswith("!"))


CASES: list[tuple[str, list[Short], list[Short], list[str]]] = [
    # entries, movements, what ties
    ("equal", [("e1", 500, 3)], [("m1", 500, 1)], ["e1=m1"]),
    ("another amount", [("e1", 500, 3)], [("m1", 501, 1)], []),
    ("another sign", [("e1", -500, 3)], [("m1", 500, 1)], []),
    ("too far", [("e1", 500, 7)], [("m1", 500, 1)], []),
    ("as far as may be", [("e1", 500, 6)], [("m1", 500, 1)], ["e1=m1"]),
    ("the earliest first", [("e1", 500, 3), ("e2", 500, 9)], [("m2", 500, 7), ("m1", 500, 2)],
     ["e1=m1", "e2=m2"]),
    ("as many as may be", [("e1", 5, 6), ("e2", 5, 9)], [("m1", 5, 1), ("m2", 5, 6)],
     ["e1=m1", "e2=m2"]),
    ("one of two", [("e1", 5, 3)], [("m1", 5, 2), ("m2", 5, 3)], ["e1=m1"]),
    ("named, not near", [("e1", 500, 40, "po_A")], [("m1", 500, 1, "po_A")], ["e1=m1"]),
    ("named before the amount", [("e1", 5, 3, "po_B")],
     [("m1", 5, 3, "po_A"), ("m2", 5, 3, "po_B")], ["e1=m2"]),
    ("two for one", [("e1", 200, 3, "po_A"), ("e2", 300, 4, "po_A")], [("m1", 500, 1, "po_A")],
     ["e1+e2=m1"]),
    ("one for two", [("e1", 500, 3, "po_A po_B")], [("m1", 200, 1, "po_A"), ("m2", 300, 1, "po_B")],
     ["e1=m1+m2"]),
    ("linked", [("e1", 300, 3, "po_A po_B"), ("e2", 200, 3, "po_B")],
     [("m1", 200, 1, "po_A"), ("m2", 300, 1, "po_B")], ["e1+e2=m1+m2"]),
    ("linked by a third",
     [("e1", 100, 3, "po_A"), ("e2", 200, 3, "po_B"), ("e3", 30, 3, "po_A po_B")],
     [("m1", 110, 1, "po_A"), ("m2", 220, 1, "po_B")], ["e1+e2+e3=m1+m2"]),
    ("paid and returned", [("e1", 5, 3, "po_A"), ("e2", -5, 9, "po_A")],
     [("m1", 5, 1, "po_A"), ("m2", -5, 8, "po_A")], ["e1+e2=m1+m2"]),
    ("paid, return not there yet", [("e1", 5, 3, "po_A")],
     [("m1", 5, 1, "po_A"), ("m2", -5, 8, "po_A")], ["e1=m1"]),
    ("named with less", [("e1", 490, 3, "po_A")], [("m1", 500, 1, "po_A")], ["e1≠m1"]),
    ("a day's batch", [("e1", -60, 3)],
     [("m1", -10, 2), ("m2", -20, 2), ("m3", -30, 2), ("m4", -9, 3)], ["e1=m1+m2+m3"]),
    ("a choice", [("e1", 50, 3)], [("m1", 20, 1), ("m2", 30, 2), ("m3", 7, 2)], ["e1=m1+m2"]),
    ("two choices", [("e1", 50, 3)], [("m1", 20, 1), ("m2", 30, 2), ("m3", 30, 3)], []),
    ("in parts", [("e1", 20, 3), ("e2", 30, 4)], [("m1", 50, 2)], ["e1+e2=m1"]),
    ("undone at the bank", [("e1", 5, 3), ("e2!", -5, 5)], [], ["e1+e2!="]),
    ("not undone", [("e1", 5, 3), ("e2", -5, 5)], [], []),
    ("undone by name", [("e1", 5, 3, "tr4ce9"), ("e2", -5, 5, "tr4ce9")], [], ["e1+e2="]),
    ("undone too late", [("e1", 5, 3), ("e2!", -5, 50)], [], []),
    ("undone in the books", [], [("m1", 5, 1, "po_A"), ("m2", -5, 60, "po_A")], ["=m1+m2"]),
    ("two payouts", [], [("m1", 5, 1, "po_A"), ("m2", -5, 6, "po_B")], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "movements", "ties"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_what_belongs_together(
    entries: list[Short], movements: list[Short], ties: list[str]
) -> None:
    """By name, then by amount and day; a choice that is not the only one ties nothing."""
    found = tie_bank(
        (moved(row, undoes=True) for row in entries), (moved(row) for row in movements), days=5
    )
    assert sorted(
        "+".join(sorted(one.key for one in tie.entries))
        + ("=" if tie.equal else "≠")
        + "+".join(sorted(one.key for one in tie.movements))
        for tie in found
    ) == sorted(ties)


def test_currencies_are_apart() -> None:
    """The same amount in another currency is another movement."""
    entry = Movement("e1", 840, 500, 3, frozenset({"po_A1"}))
    other = Movement("m1", 978, 500, 3, frozenset({"po_A1"}))
    assert tie_bank([entry], [other], days=5) == []


def test_many_that_do_not_tie_take_no_long_time() -> None:
    """Choices are bounded: a month with thousands of open movements is no puzzle."""
    entries = [Movement(f"e{n}", 840, 1000 + 7 * n, n % 30) for n in range(2000)]
    movements = [Movement(f"m{n}", 840, 3 + 13 * n, n % 30) for n in range(2000)]
    before = time.process_time()
    tie_bank(entries, movements, days=5)
    assert time.process_time() - before < 20
