"""Real ledgers that a test has for itself, because it reads them back whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.tigerbeetle import Unavailable, tigerbeetle


def _small_ledger(folder: Path) -> Iterator[str]:
    """A `--development` server starts soonest, and takes 253 legs in a request."""
    folder.mkdir()
    try:
        with tigerbeetle(development=True, data_dir=folder) as server:
            yield server.address
    except Unavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[str]:
    """The address of an empty ledger."""
    yield from _small_ledger(tmp_path / "ledger")


@pytest.fixture
def other_ledger(tmp_path: Path) -> Iterator[str]:
    """The address of a second one, as after a loss."""
    yield from _small_ledger(tmp_path / "other")
