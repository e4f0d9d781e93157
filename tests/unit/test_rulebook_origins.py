"""What the loader says of `origin`: each mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_rulebook_load import BASE, mistakes, written
from worker.rulebooks.load import load

BACK = """\
  back:
    on: charge.back
    origin: {transaction: charge, key: data.object.charge, optional: true}
    currency: usd
    transfers:
      back:
        debit: origin.gross.credit else owed["x"]
        credit: clearing
        amount: 1
        code: 5
"""
ORIGINS = [
    # what stands there              what is put instead               line  says
    ("origin.gross.credit else", "origin.gros.credit else", 56,
     "charge has no leg 'gros'; did you mean 'gross'?"),
    ('origin.gross.credit else owed["x"]', "origin.gross.credit", 56, "the origin may be missing"),
    ('else owed["x"]', "else nobody", 56, "there is no account 'nobody'"),
    ('else owed["x"]', "else owed", 56, "owed is a family"),
    ("origin.gross.credit else", "clearing[origin.gross.credit.key] else", 56, "no family"),
    ("transaction: charge,", "transaction: reserve,", 56, "reserve has no leg 'gross'"),
    ("origin.gross.credit else", "origin.each.credit else", 56, "has no leg 'each'"),
    ("amount: 1\n        code: 5", "amount: origin.gross.amount\n        code: 5", 58,
     "'origin' is not known here"),
]  # fmt: skip


@pytest.mark.parametrize(("there", "instead", "line", "says"), ORIGINS)
def test_origin_mistake_has_its_line(
    tmp_path: Path, there: str, instead: str, line: int, says: str
) -> None:
    """What an origin cannot give is told with the line where it is taken."""
    assert load(written(tmp_path, BASE + BACK)).transactions[-1].origin is not None
    found = mistakes(tmp_path, BASE + BACK.replace(there, instead, 1))
    assert any(each.startswith(f"{line}: ") and says in each for each in found), found
