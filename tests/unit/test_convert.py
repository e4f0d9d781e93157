"""`ledger-worker convert`, and the other commands on a rulebook in ADR-0015's text form."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.unit.test_adr_text import SALE
from worker.commands.cli import main
from worker.rulebooks.load import PACKAGED, load

PAGE = (Path(__file__).parents[2] / "docs" / "convert.md").read_text()
FENCE = re.compile(r"```(adr|yaml|json|text)\n(.*?)```", re.DOTALL)
IDS = re.compile(r"^     id     .*\n|  [0-9a-f]{32}", re.MULTILINE)


def text_file(tmp_path: Path, text: str = SALE) -> Path:
    path = tmp_path / "sales.ledger"
    path.write_text(text)
    return path


def test_the_page_shows_what_convert_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example of docs/convert.md becomes the YAML below it, and the event what is printed."""
    (_, text), (_, written), (_, event), (_, explained) = FENCE.findall(PAGE)
    source = text_file(tmp_path, text)
    assert main(["convert", str(source)]) == 0
    assert capsys.readouterr().out == written
    (tmp_path / "event.json").write_text(event)
    assert main(["explain", str(tmp_path / "event.json"), "--rulebook", str(source)]) == 0
    assert IDS.sub("", capsys.readouterr().out) == explained


def test_to_a_new_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The YAML goes to a new file, which loads to the same digest; an old file is not replaced."""
    source, target = text_file(tmp_path), tmp_path / "rules.yaml"
    assert main(["convert", str(source), "--to", str(target)]) == 0
    assert "5 lines in it begin with `decide`" in capsys.readouterr().out
    assert target.read_text().count("# decide") == 5
    assert load(target).digest == load(source).digest
    assert main(["convert", str(source), "--to", str(target)]) == 2
    assert "File exists" in capsys.readouterr().err


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json: the YAML, and every note with its line in the text and its key in the YAML."""
    assert main(["convert", str(text_file(tmp_path)), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["yaml"].startswith("# From sales.ledger")
    notes = {(note["line"], note["key"]) for note in result["notes"] if note["decide"]}
    assert (26, "transactions.record_sale.idempotency_time") in notes


def test_check_takes_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` draws the T-accounts and lists what a person must decide, by line of the text."""
    source = text_file(tmp_path)
    assert main(["check", str(source)]) == 0
    printed = capsys.readouterr().out
    assert f"{source}:26: warning: `created` is the event's second" in printed
    assert "record_sale: RecordSale" in printed


@pytest.mark.parametrize("command", ["convert", "check"])
def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Mistakes go to stderr, each by file and line; exit code 2."""
    source = text_file(tmp_path, SALE.replace("2001", "x").replace("sale.id", "sale.id +"))
    assert main([command, str(source)]) == 2
    assert f"{source}:2: `account_code` must be a whole number" in capsys.readouterr().err


def test_yaml_is_not_converted(capsys: pytest.CaptureFixture[str]) -> None:
    """A rulebook that is YAML already is bad usage."""
    assert main(["convert", str(PACKAGED)]) == 2
    assert "no `ledger` or `transaction` block" in capsys.readouterr().err
