"""docs/first-rule.md: every step is run, and prints what the page says."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from worker.commands import check, explain
from worker.rulebooks.load import PACKAGED, load

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "first-rule.md").read_text()


def block(language: str, number: int = 0) -> str:
    """One of the page's blocks in a language."""
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found[number]


def test_every_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rule is valid, its picture and the event's transfers are those on the page."""
    rules, event = tmp_path / "tips.yaml", tmp_path / "tip.json"
    rules.write_text(block("yaml"))
    event.write_text(block("json"))
    parser = argparse.ArgumentParser()
    check.configure(parser)
    drawn = tmp_path / "tips.html"
    assert check.run(parser.parse_args([str(rules), "--html", str(drawn)])) == 0
    assert capsys.readouterr().out.endswith(f"\n{block('text')}\n{drawn}: written\n")
    assert drawn.exists()
    lock = ["--lock", "--approver", "Ada Lovelace"]
    assert check.run(parser.parse_args([str(rules), *lock])) == 0
    written = f"{tmp_path / 'rulebook.lock'}: written, approved by Ada Lovelace"
    assert capsys.readouterr().out.endswith(f"\n{written}\n")
    parser = argparse.ArgumentParser()
    explain.configure(parser)
    assert explain.run(parser.parse_args([str(event), "--rulebook", str(rules)])) == 0
    assert capsys.readouterr().out == block("text", 1)


def test_the_chart_is_the_rulebook_s() -> None:
    """The chart of accounts lists the packaged rulebook's accounts with code, type and per."""
    rows = re.findall(
        r"\| (\d+) \| `(\w+)`(?:, per (\w+))? \| (\w+) \|",
        (DOCS / "chart-of-accounts.md").read_text(),
    )
    accounts = load(PACKAGED).accounts.values()
    assert sorted(rows) == sorted((str(one.code), one.name, one.per, one.type) for one in accounts)


def test_the_chart_names_every_type() -> None:
    """What the rules answer stands in the chart; a leading dot repeats the word before it."""
    text = (DOCS / "chart-of-accounts.md").read_text()
    for first in (rule.on[0] for rule in load(PACKAGED).transactions if rule.on):
        if first != "balance_transaction.created":
            word = first.rpartition(".")[2]
            assert first in text or f"`.{word}`" in text or f"`_{word.split('_')[-1]}`" in text, (
                first
            )
