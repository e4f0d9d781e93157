"""The watchdog: a loop that hangs ends its process, and one that waits is left alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from worker.observe.watchdog import LOOK_SECONDS, Heartbeat

HANGS = """
import sys, threading
from worker.observe import watchdog
from worker.observe.health import Health
from worker.observe.logs import configure_logging

class Blocked:
    def write(self, text): threading.Event().wait()
    def flush(self): pass
    def isatty(self): return False

def never_returns():
    threading.Event().wait()

mute = "mute" in sys.argv
watchdog.SAY_SECONDS = 0.1 if mute else watchdog.SAY_SECONDS
configure_logging(level="error", format="json", stream=Blocked() if mute else sys.stderr)
with watchdog.Watchdog(health=Health(deadline_seconds=10), limit_seconds=0.5).watching():
    never_returns()
"""


def hangs(*arguments: str) -> tuple[int, str]:
    """The exit code of a process that hangs, and what it said."""
    command = [sys.executable, "-c", HANGS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        ([],                                        0.0),
        ([(0, 1.0)],                                1.0),
        ([(0, 1.0), (0, 2.0), (0, 3.0)],            3.0),
        ([(0, 1.0), (1, 2.0)],                      0.0),
        ([(0, 1.0), (1, 2.0), (1, 3.0)],            1.0),
        ([(0, 1.0), (0, 1000.0)],                   1.0 + 2 * LOOK_SECONDS),
        ([(0, 1000.0), (0, 1001.0), (1, 1002.0)],   0.0),
    ],
    ids=["new", "once", "still", "turned", "still again", "the process slept", "and woke"],
)  # fmt: skip
def test_stillness_counts_from_look_to_look(looks: list[tuple[int, float]], seconds: float) -> None:
    """(beats, now) of each look: a beat starts anew, and time that nobody saw counts little."""
    still = Heartbeat(beats=0, now=0.0)
    found = 0.0
    for beats, now in looks:
        found = still.look(beats=beats, now=now)
    assert found == seconds


def test_a_loop_that_hangs_ends_its_process() -> None:
    """One line says for how long and where it hangs, and the exit code is 3."""
    code, said = hangs()
    assert code == 3
    (line,) = [json.loads(one) for one in said.splitlines()]
    assert (line["event"], line["level"]) == ("loop_hung", "critical")
    assert line["seconds"] >= 1
    assert "never_returns" in line["where"]


def test_a_log_that_hangs_ends_the_process_too() -> None:
    """When not even a line can be written, the process ends without it."""
    assert hangs("mute") == (3, "")
