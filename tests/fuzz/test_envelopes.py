"""Mutated records of each producer end in an event of their own or in a reason; a short run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.envelopes import fuzzed
from tests.unit.producers_page import Example, examples

RECORDS = int(os.environ.get("FUZZ_ENVELOPE_RECORDS", "500"))
EXAMPLES = examples()


@pytest.mark.parametrize("example", EXAMPLES, ids=[each.section for each in EXAMPLES])
def test_a_mutated_record_is_its_own_event_or_dead(example: Example, tmp_path: Path) -> None:
    """Many of both: mutations reach the wrapper and the event in it."""
    found = fuzzed(example, tmp_path, seed=3, records=RECORDS)
    assert found["event"] + found["dead"] == RECORDS
    assert found["chain"] > RECORDS // 20
    assert found["dead"] > RECORDS // 20
    assert len(found) > 5
