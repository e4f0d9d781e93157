"""A real ledger that a test has for itself, because it reads it back whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.tigerbeetle import TigerBeetleUnavailable, tigerbeetle


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[str]:
    """The address of an empty ledger: `--development`, because that starts soonest.

    Where many events are asked for it takes batches as large as in production.
    """
    small = "EXACTLY_ONCE_EVENTS" not in os.environ
    try:
        with tigerbeetle(development=small, data_dir=tmp_path) as server:
            yield server.address
    except TigerBeetleUnavailable as missing:
        pytest.skip(str(missing))
