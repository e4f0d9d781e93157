"""`check --html`: the examples that it works, and the page that it writes."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.unit.test_adr_text import SALE
from worker.commands.cli import main
from worker.core.matching import matches
from worker.core.rulebook import Rulebook
from worker.core.translate import Translator
from worker.jobs.examples.run import work_examples
from worker.rulebooks.load import PACKAGED, load
from worker.rulebooks.picture_page import page
from worker.rulebooks.worked_example import WorkedExample


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load(PACKAGED)


@pytest.fixture(scope="module")
def examples(rulebook: Rulebook) -> dict[str, WorkedExample]:
    return work_examples(Translator(rulebook))


def test_rules_have_examples(rulebook: Rulebook, examples: dict[str, WorkedExample]) -> None:
    """Every packaged rule has an example that the rule itself booked, of a type that it answers."""
    assert {rule.name for rule in rulebook.transactions} == set(examples)
    for name, example in examples.items():
        assert example.movements, name
        rule = next(each for each in rulebook.transactions if each.name == name)
        assert matches(example.kind, rule.on or ("charge.*",))


def test_an_example_of_any_rulebook(tmp_path: Path) -> None:
    """A rule for events of the app's own gets an event that is made from the rule."""
    path = tmp_path / "sales.ledger"
    path.write_text(
        SALE.replace("high", "high\n  validation:\n    - sale.paid\n    - sale.amount > 0")
    )
    (example,) = work_examples(Translator(load(path))).values()
    (movement,) = example.movements
    assert (movement.debit.name, movement.credit.name) == ("wallet", "sales")
    assert (movement.amount, movement.currency) == ("100.00", "GBP")


class Reader(HTMLParser):
    """What a page has: tags, and addresses that lead elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href"} and not (value or "").startswith("#"):
                self.outside.append(value or "")


def test_the_page_stands_alone(rulebook: Rulebook, examples: dict[str, WorkedExample]) -> None:
    """No scripts, nothing from elsewhere, a section with its sentence for each rule."""
    text = page(rulebook, name="rules.yaml", said=["approved by Ann"], examples=examples)
    reader = Reader()
    reader.feed(text)
    assert "script" not in reader.tags
    assert reader.outside == []
    for rule in rulebook.transactions:
        assert f'<section id="{rule.name}">' in text
    assert "@page { size: A4" in text
    assert text.count("<p class=says>When ") == len(rulebook.transactions)


def test_what_comes_from_a_rulebook_is_escaped(tmp_path: Path) -> None:
    """A title, a condition or a file's name cannot put markup on the page."""
    path, target = tmp_path / "<b>.ledger", tmp_path / "page.html"
    text = SALE.replace('"Customer wallet"', '"<script>alert(1)</script>"')
    path.write_text(text.replace("high", 'high\n  validation: sale.kind == "<img>"'))
    assert main(["check", str(path), "--html", str(target)]) == 0
    written = target.read_text()
    assert "<script" not in written
    assert "<img" not in written
    assert "<b>.ledger" not in written
