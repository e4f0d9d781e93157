"""Long work says how far it is: on a terminal in one line, elsewhere now and then in a new one."""

from __future__ import annotations

import io

from worker.jobs.progress import Progress, line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_a_line_says() -> None:
    """How many of how many, how fast, and how long it will take."""
    assert line("events", 12_000, 40_000, 2.0) == "events 12,000/40,000 30% 6,000/s, 5 s left"
    assert line("transfers", 500, 0, 2.0) == "transfers 500 250/s"
    assert line("events", 0, 10, 0.0) == "events 0/10 0% 0/s"


def test_a_jobs_log_gets_whole_lines() -> None:
    """Where no terminal is, each report is a line of its own, and short work says nothing."""
    out = io.StringIO()
    chains = [range(200)] * 4
    passed = Progress(out, log_seconds=0).over(chains, "transfers", total=800, size=len)
    assert list(passed) == chains
    told = out.getvalue().splitlines()
    assert [one.split()[1] for one in told] == ["400/800", "800/800"]
    assert all("\r" not in one for one in told)
    quiet = io.StringIO()
    assert len(list(Progress(quiet).over(range(1000), "events"))) == 1000
    assert quiet.getvalue() == ""


def test_a_terminal_ends_with_what_was_done() -> None:
    """The last line stays, and says how many there were."""
    out = Terminal()
    assert len(list(Progress(out).over(range(3), "events", total=3))) == 3
    assert out.getvalue().endswith("\n")
    assert "events 3 " in out.getvalue()
