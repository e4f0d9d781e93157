"""Plain rules have a way of their own through the translator: it must lead to the same chains."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from random import Random
from typing import Any

from worker.codecs.decode import Decoder
from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.event import Event
from worker.core.translate import Translator
from worker.jobs.generate.encode import json_value
from worker.jobs.generate.traffic import generate
from worker.rulebooks.load import load

TRAFFIC = 2_000
JUNK: list[Any] = ["", "a\0b", "\ud800", None, True, 1.5, -1, 0, 1 << 63, [], {}, "nope", 5]


def both() -> tuple[Translator, Translator]:
    """A translator, and its like without plain rules."""
    rules = load(PACKAGED_RULEBOOK)
    quick, general = Translator(rules), Translator(rules)
    general._plain_legs = ((),) * len(quick._plain_legs)
    return quick, general


def events() -> list[tuple[str, Event]]:
    """Generated traffic that decodes, with the role it comes under."""
    decoder = Decoder()
    found = ((one.role, decoder.decode(json_value(one))) for one in generate(TRAFFIC, 3))
    return [(role, event) for role, event in found if isinstance(event, Event)]


def test_plain_rules_make_the_chains_of_the_general_way() -> None:
    """For whole traffic, and for events with any field spoiled, both ways say the same."""
    quick, general = both()
    chance, kinds = Random(11), Counter[str]()
    for role, event in events():
        for asked in (event, spoiled(event, chance), spoiled(event, chance)):
            expected = general.translate(asked, role=role)
            # Parts of a chain are equal only to themselves: their fields are compared.
            assert repr(quick.translate(asked, role=role)) == repr(expected)
            kinds[type(expected).__name__] += 1
    assert min(kinds["Chain"], kinds["Dead"]) > TRAFFIC // 10


def spoiled(event: Event, chance: Random) -> Event:
    """The event with one field of its object, or its id, made junk or gone."""
    body = deepcopy(event.body)
    content = body["data"]["object"]
    name = chance.choice([*content, "id"])
    content[name] = chance.choice(JUNK)
    if chance.random() < 0.2:
        del content[name]
    changed_id = chance.choice([event.id] * 9 + ["evt_\ud800"])
    return Event(changed_id, event.type, event.created, body)


def test_most_of_the_packaged_rules_are_plain() -> None:
    """The quick way is the way of charges, fees, transfers and wallets, not a rare exception."""
    quick, _ = both()
    plain = [bool(legs) for legs in quick._plain_legs]
    assert sum(plain) > len(plain) // 3
