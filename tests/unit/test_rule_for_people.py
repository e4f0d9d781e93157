"""What a rule says to people: its alert, and what its names mean."""

from __future__ import annotations

from pathlib import Path

from tests.unit.books import Books
from tests.unit.test_let import RULES
from tests.unit.test_postings import close
from tests.unit.test_rulebook_load import written
from worker.rulebooks.load import load
from worker.rulebooks.picture_words import conditions_in_words

ALERTING = """\
version: 1
ledgers:
  usd: {id: 840, scale: 2}
accounts:
  stripe_clearing: {code: 1, type: asset}
  customer_wallet: {code: 2, type: liability, per: customer}
  suspense: {code: 3, type: liability}
transactions:
  odd:
    on: odd
    alert: look at this
    currency: usd
    transfers:
      all:
        debit: stripe_clearing
        credit: customer_wallet[data.object.customer]
        amount: data.object.amount
        code: 1
        suspense: suspense
"""


def test_a_rule_s_alert(tmp_path: Path) -> None:
    """Whoever is posted by the rule is told of, once, and after what the ledger gave cause for."""
    path = tmp_path / "rules.yaml"
    path.write_text(ALERTING)
    books = Books(path)
    odd = books.event("odd", {"customer": "a", "amount": 5})
    assert [one.alert for one in books.tell(odd)] == ["look at this"]
    assert [(str(one.kind), one.alert) for one in books.tell(odd)] == [("redelivered", "")]
    assert books.kinds(books.event("odd", {"customer": "a", "amount": 0})) == ["nothing_to_post"]
    close(books, "a")
    (diverted,) = books.tell(books.event("odd", {"customer": "a", "amount": 6}))
    assert diverted.alert == "an account is closed: the money went to suspense; look at this"


def test_the_page_says_what_names_mean(tmp_path: Path) -> None:
    """An accountant reads what each name stands for before the conditions that use it."""
    sentences = list(conditions_in_words(load(written(tmp_path, RULES)).transactions[-1]))
    assert sentences[1:3] == [
        "“rows” means rows of the about whose amount is less than 0.",
        "“newest” means the latest of rows by at.",
    ]
