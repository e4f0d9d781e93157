"""A real ledger that a test has for itself, because it reads it back whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.tigerbeetle import Unavailable, tigerbeetle


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[str]:
    """The address of an empty ledger: `--development`, because that starts soonest."""
    try:
        with tigerbeetle(development=True, data_dir=tmp_path) as server:
            yield server.address
    except Unavailable as missing:
        pytest.skip(str(missing))
