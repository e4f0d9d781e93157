"""docs/rulebook.md: every rulebook on it loads, and its events become what stands under them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from worker.commands import explain

TEXT = (Path(__file__).parents[2] / "docs" / "rulebook.md").read_text()
FENCE = re.compile(r"```(yaml|json|text)\n(.*?)```", re.DOTALL)
IDS = re.compile(r"^     id     .*\n|  [0-9a-f]{32}", re.MULTILINE)


def told() -> list[tuple[str, str, str]]:
    """Rulebook, event and answer, as they follow each other on the page."""
    found, rules, event = [], "", ""
    for kind, content in FENCE.findall(TEXT):
        if kind == "yaml":
            rules = content
        elif kind == "json":
            event = content
        elif event:
            found.append((rules, event, content))
            event = ""
    return found


@pytest.mark.parametrize(("rules", "event", "answer"), told())
def test_an_event_becomes_what_the_page_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rules: str, event: str, answer: str
) -> None:
    """`explain` prints the answer that stands under an event, ids left out."""
    book, path = tmp_path / "rules.yaml", tmp_path / "event.json"
    book.write_text(rules)
    path.write_text(event)
    parser = argparse.ArgumentParser()
    explain.configure(parser)
    assert explain.run(parser.parse_args([str(path), "--rulebook", str(book)])) == 0
    assert IDS.sub("", capsys.readouterr().out) == answer


def test_every_rulebook_of_the_page_has_an_event() -> None:
    """Each example is shown at work, not only loaded."""
    books = [content for kind, content in FENCE.findall(TEXT) if kind == "yaml"]
    assert set(books) == {rules for rules, _, _ in told()}
