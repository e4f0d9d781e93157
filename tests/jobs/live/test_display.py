"""What a run shows of itself on a terminal, and says at its end."""

from __future__ import annotations

import io

import pytest

from worker.jobs.live.display import CLEAR_LINE, RunDisplay
from worker.jobs.live.summary import summary_lines
from worker.jobs.text_tables import Styled


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Run:
    """A run that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.settled = 0
        self.lag: int | None = None

    def display(self, out: io.StringIO, *, bounded: bool) -> RunDisplay:
        return RunDisplay(
            out,
            settled=lambda: self.settled,
            lag=lambda: self.lag,
            bounded=bounded,
            now=lambda: self.now,
        )


def drawn(out: io.StringIO) -> list[str]:
    return [line.rstrip("\r") for line in out.getvalue().split(CLEAR_LINE) if line]


def test_a_drain_has_a_bar_to_its_end() -> None:
    """At most one line a second; how far, how fast, how long still; within 80 columns."""
    run, out = Run(), Terminal()
    display = run.display(out, bounded=True)
    display.draw()
    run.now, run.settled, run.lag = 1.0, 1_000, 9_000
    display.draw()
    display.draw()
    run.now, run.settled, run.lag = 2.0, 7_000, 3_000
    display.draw()
    run.now, run.settled, run.lag = 3.0, 10_000, 0
    display.draw()
    display.clear()
    lines = drawn(out)
    assert lines == [
        "─" * 24 + "   0%  1,000 events, 1,000/s, 9,000 left, 9 s",
        "━" * 16 + "─" * 8 + "  67%  7,000 events, 6,000/s, 3,000 left, 0 s",
        "━" * 24 + " 100%  10,000 events, 3,000/s, 0 left",
    ]
    assert max(map(len, lines)) < 80


def test_a_run_without_end_shows_its_lag() -> None:
    """As soon as it is known."""
    run, out = Run(), Terminal()
    display = run.display(out, bounded=False)
    run.now, run.settled = 2.0, 10
    display.draw()
    run.now, run.lag = 4.0, 12_345
    display.draw()
    assert drawn(out) == ["10 events, 5/s", "10 events, 0/s, 12,345 behind"]


def test_nothing_is_drawn_elsewhere() -> None:
    """A log file gets log lines only."""
    run, out = Run(), io.StringIO()
    display = run.display(out, bounded=True)
    run.now = 5.0
    display.draw()
    display.clear()
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("outcomes", "says", "lines"),
    [
        ({},                                  "0 events: none came", 1),
        ({"posted": 1},                       "1 event: 1 posted", 1),
        ({"dead": 2, "posted": 12345, "ignored": 3}, "12,350 events: 12,345 posted, 3 ignored; 2 dead", 2),  # noqa: E501
        ({"parked": 1, "nothing_to_post": 1}, "2 events: 1 nothing to post; 1 parked", 2),
        ({"rejected": 1, "conflict": 2},      "3 events: 1 rejected, 2 conflict", 2),
    ],
)  # fmt: skip
def test_a_summary(outcomes: dict[str, int], says: str, lines: int) -> None:
    """What went well first, then what waits, then what needs somebody, and what to do then."""
    found = summary_lines(outcomes)
    first = found[0]
    assert (first.text if isinstance(first, Styled) else first) == says
    assert len(found) == lines
    assert (lines == 2) == ("ledger-worker status" in str(found[-1]))
