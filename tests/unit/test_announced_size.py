"""What cannot be announced is not posted: an announcement's size is bounded before that."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from worker.codecs.announced_size import AnnouncedSize
from worker.codecs.dead_letters import record_bytes
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.outbox_fields import OutboxFormat
from worker.core.assignment import Assignment
from worker.core.chain import Chain
from worker.core.event import Dead, Event, Reason
from worker.core.ids import KEY_BYTES_MAX, account_key, account_user_data, announced_key
from worker.core.outcome import OutcomeKind, PostedLeg
from worker.core.ports import Headers
from worker.core.translate import Translator
from worker.core.wire import AMOUNT_MAX, QueryFilter
from worker.jobs.archive.records import ArchivedRecord
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import load
from worker.stages.item import Item
from worker.stages.post.poster import Poster

RULES = """
version: 1
ledgers:
  usd: {id: 840, scale: 2}
accounts:
  bank: {code: 1, type: asset}
  wallet: {code: 3, type: liability, per: customer}
transactions:
  paid:
    on: "*"
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: data.object.currency
    transfers:
      share:
        for_each: data.object.shares
        debit: bank
        credit: wallet[item]
        amount: data.object.amount
        code: 1
"""
CREATED = 1_760_000_000


@pytest.fixture
def rulebook(tmp_path: Path) -> Any:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return load(path)


def event(*, id: str = "evt", type: str = "paid", fact: str = "f", keys: Any = ("k",)) -> Event:  # noqa: A002
    content = {"id": fact, "created": CREATED, "currency": "usd", "amount": 5, "shares": list(keys)}
    return Event(id, type, CREATED, {"data": {"object": content}})


def chain_of(rulebook: Any, one: Event) -> Chain:
    made = Translator(rulebook).translate(one, role="any")
    assert isinstance(made, Chain)
    return made


def announced(chain: Chain, encoding: OutboxFormat) -> list[int]:
    """What each leg's record takes, as it is written."""
    encoder = OutboxEncoder(
        encoding=encoding,
        schema_id=4,
        topic="t" * 249,
        source="/ledger-worker/" + "g" * 255,
        rulebook_digest="0" * 64,
    )
    legs = [
        PostedLeg(
            leg.spec, leg.currency, leg.id, leg.debit, leg.credit, AMOUNT_MAX, leg.id, 65_535,
            65_535, (1 << 63) - 1, number, len(chain.legs), (1 << 31),
        )
        for number, leg in enumerate(chain.legs)
        if leg.debit is not None and leg.credit is not None
    ]  # fmt: skip
    trace: Headers = [("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")]
    record = ArchivedRecord("t" * 249, 2**31 - 1, 2**63 - 1, None, b"", trace)
    return [record_bytes(one) for one in encoder.encode(chain, 7, legs, record)]


HOSTILE = ("\x01", "a", '"', "é", "\U0001f600")


@pytest.mark.parametrize("seed", range(60))
def test_no_announcement_is_larger_than_its_bound(rulebook: Any, seed: int) -> None:
    """Whatever an event's texts are: one that passes a limit by a byte is told so before."""
    rng = random.Random(seed)

    def text() -> str:
        letter = rng.choice(HOSTILE)
        most = KEY_BYTES_MAX // len(letter.encode())
        return letter * rng.randint(1, rng.choice((1, most)))

    keys = [letter * rng.randint(1, 2000) for letter in rng.choices(HOSTILE, k=3)]
    chain = chain_of(rulebook, event(id=text(), type=text(), fact=text(), keys=keys))
    for encoding in ("json", "avro"):
        sizes = announced(chain, encoding)
        for limit in (max(sizes) - 1, max(sizes) // 2):
            assert AnnouncedSize(rulebook, record_bytes_max=limit).problem(chain)
        whole = AnnouncedSize(rulebook, record_bytes_max=1 << 20, chain_bytes_max=sum(sizes) - 1)
        assert "legs may take" in whole.problem(chain)
    assert AnnouncedSize(rulebook, record_bytes_max=1 << 20).problem(chain) == ""


def test_what_is_said_to_be_needed_is_enough(rulebook: Any) -> None:
    """Both limits: at what a chain may take it goes, and one byte below it does not."""
    chain = chain_of(rulebook, event(keys=["a", "b" * 40, "c"]))

    def said(problem: str) -> int:
        return int(problem.split(" bytes", maxsplit=1)[0].rsplit(" ", 1)[1])

    largest = said(AnnouncedSize(rulebook, record_bytes_max=1).problem(chain))
    assert AnnouncedSize(rulebook, record_bytes_max=largest).problem(chain) == ""
    assert AnnouncedSize(rulebook, record_bytes_max=largest - 1).problem(chain)
    whole = said(
        AnnouncedSize(rulebook, record_bytes_max=largest, chain_bytes_max=1).problem(chain)
    )
    assert 2 * largest < whole < 3 * largest
    for limit, problem in ((whole, False), (whole - 1, True)):
        size = AnnouncedSize(rulebook, record_bytes_max=largest, chain_bytes_max=limit)
        assert bool(size.problem(chain)) is problem


def test_kafkas_default_takes_every_chain_of_short_texts(rulebook: Any) -> None:
    """As many legs as a request takes."""
    size = AnnouncedSize(rulebook, record_bytes_max=1_048_000)
    many = chain_of(rulebook, event(keys=[f"cus_{number:014}" for number in range(8189)]))
    assert size.problem(many) == ""


def test_what_cannot_be_announced_is_not_posted(rulebook: Any) -> None:
    """It is a dead letter, `too_large`, and the ledger never hears of it."""
    ledger, translator = EmbeddedLedger(), Translator(rulebook)
    size = AnnouncedSize(rulebook, record_bytes_max=2000)
    poster = Poster(ledger, translator, parked_max=0, unannounceable=size.problem)
    stay = Assignment("in", 0, "any", base=1 << 40, until=100, opened=True)
    record = ArchivedRecord("in", 0, 0, None, b"")
    [outcome] = poster.post([Item(record, stay, 0, 0, "any", chain_of(rulebook, event()))])
    assert outcome.kind is OutcomeKind.DEAD
    assert outcome.dead is not None
    assert outcome.dead.reason is Reason.TOO_LARGE
    assert ledger.query_accounts(QueryFilter()) == []
    assert ledger.query_transfers(QueryFilter()) == []


@pytest.mark.parametrize(
    ("fact", "fits"), [("a" * 255, True), ("a" * 256, False), ("é" * 127, True), ("é" * 128, False)]
)
def test_the_value_of_a_fact_takes_255_bytes(rulebook: Any, fact: str, *, fits: bool) -> None:
    """It is in every announcement of the chain."""
    made = Translator(rulebook).translate(event(fact=fact), role="any")
    assert isinstance(made, Chain if fits else Dead)
    if isinstance(made, Dead):
        assert made == Dead(
            Reason.BAD_KEY, "paid idempotency_key: data.object.id takes more than 255 bytes"
        )


@pytest.mark.parametrize("size", [1, 28, 29, 36, 255, 256, 700_000])
def test_a_very_long_family_key_is_announced_as_its_account_holds_it(
    rulebook: Any, size: int
) -> None:
    """Up to 255 bytes as it is; beyond, thousands of legs may name it."""
    key = "k" * size
    chain = chain_of(rulebook, event(keys=[key]))
    stored = account_key(*account_user_data(key))
    assert announced_key(key) == (key if size <= KEY_BYTES_MAX else stored)
    assert max(announced(chain, "json")) < 4000
