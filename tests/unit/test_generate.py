"""The generated traffic: deterministic, realistic, and bad exactly where it says so."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest

from worker.codecs.avro import PACKAGED_IDS
from worker.codecs.decode import Decoder
from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.chain import Chain
from worker.core.event import Dead, Skipped
from worker.core.translate import Translator
from worker.jobs.generate.chance import Chance
from worker.jobs.generate.encode import avro_value, json_value
from worker.jobs.generate.scene import Generated
from worker.jobs.generate.traffic import Traffic, generate
from worker.rulebooks.load import load

SOME = 3_000
DECODER = Decoder()
SCHEMA_IDS = {name: schema_id for schema_id, name in PACKAGED_IDS.items()}

CATEGORIES = (
    *("charge", "charge failure", "partial capture reversal", "refund", "refund failure"),
    *("dispute", "dispute reversal", "payout", "platform earning", "transfer", "topup"),
    *("risk reserved funds", "fee", "tax"),
)

FIRST_200_OF_SEED_1 = "35f4a1bea801372376bfe4711a68f5f01d1f31b0bb324fc441c1b1fdb59332d7"
"""Changes only when scenarios are added: say so in the changelog, since tests count on it."""


@pytest.fixture(scope="module")
def traffic() -> list[Generated]:
    return list(generate(SOME, 1))


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator(load(PACKAGED_RULEBOOK))


def test_the_same_seed_gives_the_same_bytes_for_ever() -> None:
    """The first 200 records of seed 1 are, byte for byte, those of the day this was written."""
    digest = sha256()
    for record in generate(200, 1):
        digest.update(b"\0".join([record.role.encode(), record.key, json_value(record)]))
    assert digest.hexdigest() == FIRST_200_OF_SEED_1


def test_less_traffic_is_the_beginning_of_more(traffic: list[Generated]) -> None:
    """Whoever generated 500 records yesterday finds them in today's 3,000."""
    assert list(generate(500, 1)) == traffic[:500]


def test_seeds_share_no_ids(traffic: list[Generated]) -> None:
    """Traffic of two seeds can go into one ledger: no event of one is one of the other."""
    own, other = (
        {record.event["id"] for record in records if isinstance(record.event, dict)}
        for records in (traffic, generate(SOME, 2))
    )
    assert len(own) > SOME * 9 // 10
    assert not own & other


def test_events_have_ids_of_their_own_unless_redelivered(traffic: list[Generated]) -> None:
    """An id comes twice only as a redelivery, and then with the very same bytes."""
    seen: dict[str, bytes] = {}
    for record in traffic:
        if isinstance(record.event, dict) and "id" in record.event:
            again = record.note.startswith("redelivery: ")
            assert (record.event["id"] in seen) == again
            value = json_value(record)
            assert seen.setdefault(record.event["id"], value) == value


def _asked(translator: Translator, record: Generated, value: bytes) -> Chain | Skipped | Dead:
    decoded = DECODER.decode(value)
    if isinstance(decoded, Dead):
        return decoded
    return translator.translate(decoded, role=record.role)


def test_records_mean_what_their_note_says(
    traffic: list[Generated], translator: Translator
) -> None:
    """By the packaged rulebook poison dies of its reason, and all posts but what moves nothing."""
    for record in traffic:
        asked = _asked(translator, record, json_value(record))
        note = record.note.removeprefix("late: ").removeprefix("redelivery: ")
        if note.startswith("poison: "):
            assert isinstance(asked, Dead)
            assert asked.reason == note.removeprefix("poison: ")
        elif note.startswith("ignored: "):
            assert asked == Skipped("ignored")
        elif note.endswith(" settled") and isinstance(asked, Skipped):
            assert asked == Skipped("nothing_to_post")
        else:
            assert isinstance(asked, Chain), (note, asked)


def test_avro_traffic_means_the_same(traffic: list[Generated], translator: Translator) -> None:
    """The same record in Avro asks for the same transfers."""
    for record in traffic[:600]:
        by_json = _asked(translator, record, json_value(record))
        by_avro = _asked(translator, record, avro_value(record, SCHEMA_IDS))
        if isinstance(by_json, Chain):
            assert isinstance(by_avro, Chain)
            assert by_avro.legs == by_json.legs
        else:
            assert by_avro == by_json


def test_most_of_it_is_money_and_some_of_everything(traffic: list[Generated]) -> None:
    """Every kind of record comes, and what goes wrong is rare."""
    kinds = Counter(record.note.split(":")[0] for record in traffic)
    expected = {
        *("charge", "guest charge", "capture", "p2p", "split bill", "charge failed"),
        *("withdrawal", "withdrawal paid", "withdrawal failed", "exchange"),
        *("refund", "refund failed", "dispute", "dispute won", "dispute lost"),
        *("refund of an old version", "transfer", "topup", "application fee"),
        *("payout", "payout paid"),
        *(f"{category} settled" for category in CATEGORIES),
        *("overdraft", "poison", "ignored", "redelivery", "late"),
    }
    assert expected <= set(kinds)
    assert kinds["overdraft"] + kinds["poison"] < SOME // 50


def test_the_shortest_traffic_has_one_of_each_trouble() -> None:
    """Of a hundred records, whatever the seed, one is poison, one an overdraft, one comes twice."""
    for seed in range(20):
        kinds = Counter(record.note.split(":")[0] for record in generate(100, seed))
        assert {"poison", "overdraft", "redelivery"} <= set(kinds), seed


def test_outcomes_follow_their_withdrawal_under_its_key(traffic: list[Generated]) -> None:
    """A withdrawal's outcome comes well after it and on its partition, redelivered or not."""
    requested: dict[str, tuple[int, bytes]] = {}
    outcomes = 0
    for number, record in enumerate(traffic):
        if record.note == "withdrawal":
            requested[_about(record)["id"]] = number, record.key
        elif "withdrawal " in record.note:
            at, key = requested[_about(record)["id"]]
            assert record.key == key
            assert number >= at + 50
            outcomes += 1
    assert outcomes > 50


def _about(record: Generated) -> dict[str, Any]:
    assert isinstance(record.event, dict)
    about: dict[str, Any] = record.event["data"]["object"]
    return about


def test_what_follows_a_charge_comes_after_it_under_its_key(traffic: list[Generated]) -> None:
    """A refund or dispute has its charge before it, on the same partition."""
    charges: dict[str, tuple[int, bytes]] = {}
    followed = 0
    for number, record in enumerate(traffic):
        note = record.note.removeprefix("late: ")
        if note in {"charge", "guest charge", "capture"}:
            charges[_about(record)["id"]] = number, record.key
        elif note in {"refund", "refund failed", "dispute", "dispute won", "dispute lost"}:
            at, key = charges[_about(record)["charge"]]
            assert (record.key, number > at + 50) == (key, True)
            followed += 1
    assert followed > 50


def test_payouts_tie() -> None:
    """The rows of each payout, its own included, add up to zero; a failed one goes out again."""
    found = Traffic(seed=1)
    made = [_about(each) for each in islice(found, 6_000) if each.note == "payout"]
    sums: Counter[str] = Counter()
    returned = set()
    for row in found.stripe_rows():
        sums[row.payout] += row.settled["net"]
        if row.settled["reporting_category"] == "payout_reversal":
            returned.add(row.payout)
    waiting = sums.pop("")
    assert len(sums) > 10
    assert set(sums.values()) == {0}
    assert set(sums) <= {about["id"] for about in made}
    assert returned - {""}
    assert waiting > 0


def test_the_feed_tells_all_of_stripes_balance() -> None:
    """Every row of Stripe's report was told once, with its source as it then was."""
    found = Traffic(seed=3)
    told: dict[str, dict[str, Any]] = {}
    for record in islice(found, SOME):
        if record.role == "settlements":
            told.setdefault(_about(record)["id"], _about(record))
    rows = list(found.stripe_rows())
    assert len(rows) == len(told)
    for row in rows:
        source = told[row.settled["id"]]["source"]
        expected = {**row.settled, "source": source}
        assert told[row.settled["id"]] == expected
        assert (source["id"] if source else None) == row.settled["source"]


def test_money_moves_at_stripe_when_the_event_says(traffic: list[Generated]) -> None:
    """What a refund, transfer, top-up or payout tells is what its balance transaction moved."""
    signs = {"refund": -1, "transfer": -1, "topup": 1, "application_fee": 1, "payout": -1}
    settled = {
        _about(record)["source"]["id"]: _about(record)
        for record in traffic
        if record.role == "settlements" and _about(record)["source"]
        if "reversal" not in _about(record)["reporting_category"]
        if "failure" not in _about(record)["reporting_category"]
    }
    compared = Counter(
        about["object"]
        for record in traffic
        if record.note in {"refund", "transfer", "topup", "application fee", "payout"}
        if (about := _about(record))["id"] in settled
        if settled[about["id"]]["amount"] == signs[about["object"]] * about["amount"]
    )
    assert set(compared) == set(signs)


def test_old_versions_tell_a_refund_by_its_charge(traffic: list[Generated]) -> None:
    """Such a refund has no refund.created; charge.refunded lists it and says what was before."""
    created = {_about(each)["id"] for each in traffic if each.note == "refund"}
    old = [each for each in traffic if each.note == "refund of an old version"]
    assert len(old) > 5
    for record in old:
        assert isinstance(record.event, dict)
        (refund,) = _about(record)["refunds"]["data"]
        before = record.event["data"]["previous_attributes"]["amount_refunded"]
        assert _about(record)["amount_refunded"] - before == refund["amount"]
        assert record.event["api_version"] < "2024-10-28"
        assert refund["id"] not in created


def test_in_the_streams_order_only_overdrafts_exceed_a_wallet() -> None:
    """Posted one by one, nobody but the authors of overdrafts spends what is not there."""
    wallets: Counter[tuple[str, str]] = Counter()
    overdrafts = 0
    for record in generate(SOME, 5):
        if record.note.startswith(("poison", "redelivery", "ignored")):
            continue
        for customer, currency, amount in _moves(record):
            wallets[customer, currency] += amount
            if wallets[customer, currency] < 0:
                assert record.note == "overdraft"
                wallets[customer, currency] -= amount
                overdrafts += 1
                break
    assert overdrafts > 5


def _moves(record: Generated) -> list[tuple[str, str, int]]:
    """What a record does to wallets, debits first."""
    about, kind = _about(record), record.note.removeprefix("late: ")
    currency = about.get("currency", "")
    match kind:
        case "charge" | "capture" if about["customer"]:
            return [(about["customer"], currency, about["amount_captured"])]
        case "p2p" | "overdraft":
            amount = about["amount"]
            return [(about["from"], currency, -amount), (about["to"], currency, amount)]
        case "split bill":
            owed = [(each["customer"], currency, -each["amount"]) for each in about["shares"]]
            return [*owed, (about["payer"], currency, -sum(amount for *_, amount in owed))]
        case "withdrawal" | "withdrawal failed":
            sign = -1 if kind == "withdrawal" else 1
            return [(about["customer"], currency, sign * about["amount"])]
        case "exchange":
            sold, bought = about["sell"], about["buy"]
            return [
                (about["customer"], sold["currency"], -sold["amount"]),
                (about["customer"], bought["currency"], bought["amount"]),
            ]
    return []


def test_balance_transactions_add_up(traffic: list[Generated]) -> None:
    """In the settlement feed net = amount − fee, and the fee is the sum of its parts."""
    feed = [_about(record) for record in traffic if record.role == "settlements"]
    assert feed
    for settled in feed:
        assert settled["net"] == settled["amount"] - settled["fee"]
        assert settled["fee"] == sum(part["amount"] for part in settled["fee_details"])


def test_charges_have_the_shape_of_stripes_own(traffic: list[Generated]) -> None:
    """A generated charge has the fields and types of Stripe's sample, and one that is newer."""
    path = Path(__file__).parent.parent / "stripe" / "charge.succeeded.json"
    sample = orjson.loads(path.read_bytes())["data"]["object"]
    made = next(_about(record) for record in traffic if record.note == "charge")
    assert set(made) - set(sample) == {"failure_balance_transaction"}
    for name in set(made) & set(sample):
        if made[name] is not None and sample[name] is not None:
            assert type(made[name]) is type(sample[name]), name


def test_weights_are_kept() -> None:
    """What is to happen 30 times in a thousand does, about."""
    chance = Chance(3)
    assert 200 < sum(chance.happens(30) for _ in range(10_000)) < 400
    assert Counter(chance.pick_weighted([("a", 9), ("b", 1)]) for _ in range(1_000))["a"] > 800


def test_ids_look_like_stripes() -> None:
    """An id is its prefix and 24 letters and digits, like Stripe's."""
    prefix, _, rest = Chance(1).new_id("evt").partition("_")
    assert (prefix, len(rest), rest.isalnum()) == ("evt", 24, True)
