"""Results are text that a terminal can be trusted with, and JSON that says the same."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from worker.core.visible import visible
from worker.jobs.text_tables import (
    BAD,
    PAGE_ROWS,
    Column,
    Styled,
    json_text,
    write_json,
    write_lines,
    write_table,
)

HOSTILE = "cus_\x1b]0;owned\x07\x9b31m\r\n\u202e\udcff[red]"
SHOWN = r"cus_\x1b]0;owned\x07\x9b31m\r\n\u202e\udcff[red]"
COLUMNS = (Column("key", "key", 6), Column("balance", "balance", 8, right=True))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize("text", ["", "cus_1", "ü 日本 €", "a b"])
def test_what_can_be_printed_stays(text: str) -> None:
    """Letters of every script are themselves."""
    assert visible(text) == text


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()])
def test_a_hostile_key_is_shown_and_not_sent(
    out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No order to the terminal leaves a table or a line, whatever an account's key holds."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert write_table(out, COLUMNS, [{"key": HOSTILE, "balance": 1}]) == 1
    write_lines(out, [HOSTILE, Styled(HOSTILE, BAD)])
    text = out.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")  # bold, by rich
    assert text.count(SHOWN) == 3
    assert text.replace("\n", "").isprintable()


def test_plain_lines_are_aligned() -> None:
    """Elsewhere than on a terminal: no colours, a line when its row comes, long texts whole."""
    out = io.StringIO()

    def rows() -> Iterator[dict[str, object]]:
        yield {"key": "a", "balance": "1.00"}
        assert out.getvalue() == "key      balance\na           1.00\n"
        yield {"key": "longer than that", "balance": "-20.00"}

    assert write_table(out, COLUMNS, rows()) == 2
    write_lines(out, [Styled("bad", BAD)])
    assert out.getvalue().splitlines()[2:] == ["longer than that    -20.00", "bad"]


def test_a_terminal_gets_colours_and_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is too long for the width goes on below; NO_COLOR leaves colours out."""
    coloured, plain, narrow = Terminal(), Terminal(), Terminal()
    write_lines(coloured, [Styled("bad", BAD)])
    assert "\x1b[1;31mbad\x1b[0m" in coloured.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    write_lines(plain, [Styled("bad", BAD)])
    assert "31m" not in plain.getvalue()
    monkeypatch.setenv("COLUMNS", "30")
    write_table(narrow, COLUMNS, [{"key": "k" * 50, "balance": "1,000,000.00"}])
    lines = narrow.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert max(map(len, lines)) == 30
    assert "".join(lines).count("k") == 50 + len("key") - 2
    assert any(line.rstrip().endswith(" 1,000,000.00") for line in lines)


def test_figures_are_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they do not fit, the terminal breaks the lines."""
    monkeypatch.setenv("COLUMNS", "20")
    out, figure = Terminal(), "123456789012345678901234567890.00"
    write_table(out, (COLUMNS[0], *(COLUMNS[1:] * 2)), [{"key": "k", "balance": figure}])
    assert out.getvalue().count(figure) == 2


@pytest.mark.parametrize("count", [0, 1, PAGE_ROWS, PAGE_ROWS + 1])
def test_long_tables_come_in_pages(count: int) -> None:
    """Every row is drawn once, and each page has its heading."""
    out = Terminal()
    rows = ({"key": f"k{number}", "balance": number} for number in range(count))
    assert write_table(out, COLUMNS, rows) == count
    text = out.getvalue()
    assert text.count("balance") == max(1, -(-count // PAGE_ROWS))
    assert [
        line.split()[1]
        for line in text.splitlines()
        if line.startswith("k") and "balance" not in line
    ] == [str(number) for number in range(count)]


def test_json_is_for_terminals_too() -> None:
    """What JSON would let through is escaped, and a program reads the same text."""
    out = io.StringIO()
    write_json(out, {"about": HOSTILE}, "rows", [{"key": HOSTILE}])
    assert json.loads(out.getvalue()) == {"about": HOSTILE, "rows": [{"key": HOSTILE}]}
    assert out.getvalue().replace("\n", "").isprintable()
    assert json_text("日本") == '"日本"'
