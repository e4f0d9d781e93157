"""Junk on the outbox: a rebuild names each record, and goes on without them when told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.junk import ANNOUNCEMENTS, FIRST, junk
from tests.jobs.replay.test_rebuild import OUTBOX, day, new, rebuilt, transfers, written
from tests.jobs.reports.played import Played
from worker.commands.cli import main

__all__ = ["day", "new"]

REJECTED = "ledger.events.rejected"


def test_junk_is_named_and_left_out_when_told(
    day: Played,
    new: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is posted before; afterwards the ledger equals the lost one."""
    topics = {topic: list(records) for topic, records in day.records.items()}
    topics[OUTBOX] += junk(OUTBOX)
    topics.setdefault(REJECTED, []).extend(junk(REJECTED))
    archive = written(topics, new.parent)
    assert main(["replay", "--rebuild", "--from-files", archive]) == 2
    said = capsys.readouterr().err
    assert "--skip-unreadable" in said
    for at in range(len(ANNOUNCEMENTS)):
        assert f"{OUTBOX}/0@{FIRST + at} is no" in said
    assert transfers(new) == []
    against = ("--verify-against", f"embedded:{day.ledger_file}")
    found = rebuilt(capsys, "--rebuild", "--skip-unreadable", "--from-files", archive, *against)
    assert len(found["unreadable"]) == len(ANNOUNCEMENTS)
    assert found["transfers"] == len(day.records[OUTBOX])
    assert found["verified"]["differences"] == 0


def test_the_option_is_for_a_rebuild(new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A replay counts what it cannot read anyway."""
    del new
    assert main(["replay", "--skip-unreadable", "--from-files", "none.jsonl"]) == 2
    assert "--skip-unreadable goes with --rebuild" in capsys.readouterr().err
