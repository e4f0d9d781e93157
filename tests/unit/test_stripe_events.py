"""docs/stripe-events.md says what the packaged rulebook makes of every type of Stripe's events."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.core.matching import carries, matches
from worker.rulebooks.load import PACKAGED, load

ROOT = Path(__file__).parents[2]
RULEBOOK = load(PACKAGED)
TYPES = (ROOT / "tests" / "stripe" / "event_types.txt").read_text().split()
"""Every type of webhook in Stripe's own package, version 16.1."""
ROW = re.compile(r"^\| `([a-z_.]+)` \| (.+) \|$", re.MULTILINE)
TABLE = dict(ROW.findall((ROOT / "docs" / "stripe-events.md").read_text()))


def test_every_type_has_a_row() -> None:
    """The table lists exactly the types of Stripe's package."""
    assert len(TYPES) > 250
    assert list(TABLE) == TYPES


@pytest.mark.parametrize("kind", TYPES)
def test_the_row_is_what_the_rulebook_says(kind: str) -> None:
    """Booked by the rules that answer it, ignored by name, or a dead letter on purpose."""
    rules = [rule.name for rule in RULEBOOK.transactions if matches(kind, rule.on)]
    ignored = any(matches(kind, (entry.pattern,)) for entry in RULEBOOK.ignore)
    verdict = TABLE[kind]
    assert carries(RULEBOOK.topics["payments"], kind)
    if rules:
        named = re.findall(r"`(\w+)`", verdict)
        assert verdict.startswith("booked by ")
        assert named == rules
        assert verdict.endswith("; else ignored") == ignored
    else:
        assert verdict.startswith("ignored: " if ignored else "dead on purpose: ")
