"""One small day of traffic for the tests of reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.reports.played import Played, play


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """600 records; the ledger's file is closed so that commands can open it."""
    played = play(600, seed=5, folder=tmp_path_factory.mktemp("day"))
    played.ledger.close()
    return played


@pytest.fixture
def ledger_settings(day: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Commands of this test read the day's ledger; the current folder is empty."""
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    monkeypatch.chdir(tmp_path)
    return tmp_path
