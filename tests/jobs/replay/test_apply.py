"""Applied, a replay posts what the ledger lacks, announces it, and stops at the live group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.draining import drain
from tests.produced import produce
from worker.config.settings import Settings, load_settings
from worker.core.errors import UsageError
from worker.jobs.live.compose import open_worker, with_broker
from worker.jobs.live.run import Stop
from worker.jobs.progress import Progress
from worker.jobs.replay.apply import AppliedReplay, apply_replay
from worker.jobs.replay.plan import ReplayRequest
from worker.jobs.replay.range import Moment, bounds, moment
from worker.jobs.replay.reannounce import Reannounced, announce_again
from worker.jobs.shard import ALL, Shard
from worker.kafka.plain_producer import open_plain_producer
from worker.kafka.topic_reader import open_topic_reader, read_all
from worker.ledger.embedded import EmbeddedLedger

EVENTS = 80
MORE = 20


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "embedded")
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", "embedded")
    monkeypatch.setenv("LEDGER_WORKER_HTTP__PORT", "0")
    settings = load_settings()
    topics = settings.topics
    with with_broker(settings, [topics.outbox, topics.rejected, topics.dead, "copy"]) as reachable:
        yield reachable


def replayed(settings: Settings, ledger: EmbeddedLedger, *, name: str = "") -> AppliedReplay:
    asked = ReplayRequest(Moment(), Moment(), name=name)
    return apply_replay(
        settings, asked, started_from="", stop=Stop(), ledger=ledger, embedded_broker=True
    )


def test_a_ledger_that_lost_everything_gets_what_the_live_group_posted(broker: Settings) -> None:
    """As many posted as before, announced again; what the live group has not reached waits."""
    produce(broker, skip=0, events=EVENTS)
    with open_worker(broker, ledger=EmbeddedLedger(), embedded_broker=True) as worker:
        drain(worker)
        live = dict(worker.observer.outcomes)
    first = read_all(broker, broker.topics.outbox)
    produce(broker, skip=EVENTS, events=EVENTS + MORE)
    ledger = EmbeddedLedger()
    done = replayed(broker, ledger)
    assert done.whole
    assert done.group.startswith("ledger-worker-replay-")
    assert sum(done.outcomes.values()) == EVENTS
    assert done.outcomes["posted"] == live["posted"]
    told = [json.loads(one.value() or b"") for one in read_all(broker, broker.topics.outbox)]
    assert len(told) == 2 * len(first)
    assert len({one["transfer_id"] for one in told}) == len(first)
    with pytest.raises(UsageError, match="there is no stripe"):
        _bounds(broker, "stripe.payments/99@0")
    half = _bounds(broker, "", Shard(0, 2)).keys(), _bounds(broker, "", Shard(1, 2)).keys()
    assert not half[0] & half[1]
    assert half[0] | half[1] == _bounds(broker, "").keys() == done.ranges.keys()


def test_what_is_told_already_is_not_written_again(broker: Settings) -> None:
    """Dead letters and rejections of a replay are counted; those on their topics stay single."""
    produce(broker, skip=0, events=EVENTS)
    overdraft = {"id": "p_1", "from": "cus_poor", "to": "cus_b", "amount": 50, "currency": "usd"}
    asked = {"id": "evt_poor", "type": "wallet.p2p", "created": 1_760_000_000}
    publisher = open_plain_producer(broker)
    publisher.publish(
        topic=broker.topics.inputs["commands"],
        key=b"cus_poor",
        value=json.dumps({**asked, "data": {"object": overdraft}}).encode(),
        timestamp_ms=0,
    )
    publisher.flush(30)
    with open_worker(broker, ledger=EmbeddedLedger(), embedded_broker=True) as worker:
        drain(worker)
        live = dict(worker.observer.outcomes)
    topics = broker.topics
    before = {name: len(read_all(broker, name)) for name in (topics.dead, topics.rejected)}
    assert all(before.values())
    done = replayed(broker, EmbeddedLedger())
    assert (done.outcomes["dead"], done.outcomes["rejected"]) == (live["dead"], live["rejected"])
    assert {name: len(read_all(broker, name)) for name in before} == before


def test_a_replay_over_several_topics_goes_by_their_timestamps(broker: Settings) -> None:
    """On an empty ledger no payment is refused that was funded when it was made."""
    publisher = open_plain_producer(broker)
    inputs = broker.topics.inputs
    for number in range(EVENTS):
        made_ms = 1_760_000_000_000 + 10 * number
        money = {"id": f"x_{number}", "amount": 100, "currency": "usd"}
        created = {"created": 1_760_000_000}
        charge = {**money, **created, "customer": f"cus_{number}", "paid": True, "captured": True}
        payment = {**money, "from": f"cus_{number}", "to": f"cus_x{number}"}
        for role, kind, content, late_ms in (
            ("commands", "wallet.p2p", payment, 10),
            ("payments", "charge.succeeded", charge, 0),
        ):
            name = f"evt_{role}_{number}"
            whole = {"id": name, "type": kind, **created, "data": {"object": content}}
            publisher.publish(
                topic=inputs[role],
                key=name.encode(),
                value=json.dumps(whole).encode(),
                timestamp_ms=made_ms + late_ms,
            )
    publisher.flush(30)
    with open_worker(broker, ledger=EmbeddedLedger(), embedded_broker=True) as worker:
        drain(worker)
        assert dict(worker.observer.outcomes) == {"posted": 2 * EVENTS}
    assert replayed(broker, EmbeddedLedger()).outcomes == {"posted": 2 * EVENTS}


def _bounds(settings: Settings, start: str, part: Shard = ALL) -> dict[tuple[str, int], object]:
    with open_topic_reader(settings) as topics:
        return dict(
            bounds(
                topics,
                group=settings.kafka.group_id,
                names=list(settings.topics.inputs.values()),
                start=moment(start, option="--from") if start else Moment(),
                end=Moment(),
                part=part,
            )
        )


def test_a_group_that_has_committed_nothing_is_refused(broker: Settings) -> None:
    """Everything is the live worker's to post then."""
    produce(broker, skip=0, events=5)
    with pytest.raises(UsageError, match="has committed nothing"):
        replayed(broker, EmbeddedLedger())


def test_announced_again_it_is_what_it_was(broker: Settings) -> None:
    """Every transfer once, in the ledger's order, as it was announced but for the marker."""
    produce(broker, skip=0, events=EVENTS)
    ledger = EmbeddedLedger()
    with open_worker(broker, ledger=ledger, embedded_broker=True) as worker:
        drain(worker)
    was = {one.value() for one in read_all(broker, broker.topics.outbox)}
    done = announced(broker, ledger)
    assert done.unannounced == []
    again = read_all(broker, "copy")
    assert {one.value() for one in again} == was
    assert len(again) == len(was) == done.transfers > EVENTS // 2
    assert all(("ledger_worker.rebuilt", b"1") in (one.headers() or []) for one in again)
    for partition in {one.partition() for one in again}:
        times = [
            int(json.loads(one.value() or b"")["ledger_timestamp"])
            for one in again
            if one.partition() == partition
        ]
        assert times == sorted(times)
    repeated = announced(broker, ledger)
    assert repeated.since > 0
    assert (repeated.transfers, repeated.unannounced) == (0, [])


def announced(settings: Settings, ledger: EmbeddedLedger) -> Reannounced:
    return announce_again(
        settings,
        outbox="copy",
        start_ns=0,
        end_ns=0,
        progress=Progress(),
        ledger=ledger,
        embedded_broker=True,
    )
