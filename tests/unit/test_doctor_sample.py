"""`doctor --sample`: how much of what comes on a topic is understood, before it is posted."""

from __future__ import annotations

import json

import pytest

from tests.records import FakeRecord
from worker.codecs.decode import Decoder
from worker.commands.doctor_sample import verdict
from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.translate import Translator
from worker.observe.findings import CONFIGURATION
from worker.rulebooks.load import load
from worker.stages.decode import EventReader

TOPIC = ("stripe.payments", 0)
IGNORED = {"id": "e", "type": "customer.created", "created": 1, "data": {"object": {}}}
WRAPPED = {"detail": IGNORED, "detail-type": "x", "source": "aws.partner/stripe.com"}


def records(ignored: int, wrapped: int, broken: int) -> list[FakeRecord]:
    values = [IGNORED] * ignored + [WRAPPED] * wrapped
    texts = [json.dumps(each).encode() for each in values] + [b"[]"] * broken
    return [FakeRecord(TOPIC, number, text) for number, text in enumerate(texts)]


MIXES = [
    # ignored wrapped broken  well   says
    (4,       0,      0,      True,  "of the newest 4: 4 ignored"),
    (2,       1,      1,      True,  "of the newest 4: 2 dead, 2 ignored"),
    (1,       3,      0,      False, "3 not_an_event: `id` is missing"),
    (1,       3,      0,      False, "3 would fit in the rulebook's topics: payments: {…"),
    (1,       0,      3,      False, "3 undecodable: the value is a JSON list"),
    (0,       0,      0,      True,  "there are none yet"),
]  # fmt: skip


@pytest.mark.parametrize(("ignored", "wrapped", "broken", "well", "says"), MIXES)
def test_a_topic_of_which_most_would_be_dead_is_not_well(
    ignored: int,
    wrapped: int,
    broken: int,
    well: bool,  # noqa: FBT001 - a column of the table
    says: str,
) -> None:
    """Counts by outcome, the reasons with what was there; beyond a half it is a failure."""
    reader = EventReader(Decoder(), Translator(load(PACKAGED_RULEBOOK)))
    found = verdict(TOPIC[0], "payments", records(ignored, wrapped, broken), reader)
    assert (found.ok, found.exit_code) == (well, CONFIGURATION if found.detail[:2] == "of" else 3)
    assert says in found.detail
    assert bool(found.advice) is (wrapped + broken > 0)
