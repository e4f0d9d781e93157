"""Long work says how far it is: on a terminal by a bar, elsewhere now and then in a new line."""

from __future__ import annotations

import io
from collections.abc import Generator

import pytest

from worker.jobs.progress import Progress, figures


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("passed", "total", "seconds", "text"),
    [
        (12_000, 40_000, 2.0, "12,000/40,000 30% 6,000/s, 5 s left"),
        (500,    0,      2.0, "500 250/s"),
        (0,      10,     0.0, "0/10 0% 0/s"),
        (10,     10,     2.0, "10/10 100% 5/s"),
        (12,     10,     2.0, "12/10 100% 6/s"),
    ],
)  # fmt: skip
def test_what_a_line_says(passed: int, total: int, seconds: float, text: str) -> None:
    """How many of how many, how fast, and how long it will take."""
    assert figures(passed, total, seconds) == text


def test_a_jobs_log_gets_whole_lines() -> None:
    """Where no terminal is, each report is a line of its own, and short work says nothing."""
    out = io.StringIO()
    chains = [range(200)] * 4
    passed = Progress(out, log_seconds=0).over(chains, "transfers", total=800, size=len)
    assert list(passed) == chains
    told = out.getvalue().splitlines()
    assert [one.split()[:2] for one in told] == [
        ["transfers", "400/800"],
        ["transfers", "800/800"],
    ]
    assert not {"\r", "\x1b"} & set(out.getvalue())
    quiet = io.StringIO()
    assert len(list(Progress(quiet).over(range(1000), "events"))) == 1000
    assert quiet.getvalue() == ""


def test_a_terminal_ends_with_what_was_done() -> None:
    """The last line stays, and says how many there were."""
    out = Terminal()
    assert len(list(Progress(out).over(range(3), "events", total=3))) == 3
    assert out.getvalue().rstrip("\x1b[?25h").endswith("\n")
    assert "3/3 100%" in out.getvalue()


def test_work_within_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a bar of its own, and what comes afterwards begins a new display."""
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    progress = Progress(out)
    for _ in progress.over(range(2), "topics", total=2):
        list(progress.over(range(5), "events [red]\x1b[0m", total=5))
    list(progress.over(range(7), "transfers"))
    assert out.getvalue().count("7/7 100%") >= 1
    assert "topics" in out.getvalue()
    assert "events [red]" in out.getvalue()
    assert "\x1b[31m" not in out.getvalue()


def test_work_that_is_broken_off_is_not_shown_as_done() -> None:
    """The bar stays where it was, and the terminal is given back."""
    out = Terminal()
    work = Progress(out).over(range(1000), "events", total=1000)
    next(work)
    assert isinstance(work, Generator)
    with pytest.raises(KeyboardInterrupt):
        work.throw(KeyboardInterrupt)
    assert "0/1,000 0%" in out.getvalue()
    assert "100%" not in out.getvalue()
    assert out.getvalue().endswith("\x1b[?25h")
