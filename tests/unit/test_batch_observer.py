"""The pipeline's observer: what it counts is what alerts wait for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import TopicPartition as ClientPartition
from prometheus_client import generate_latest

from worker.core.event import Reason
from worker.core.outcome import OutcomeKind
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.embedded_broker import EmbeddedBroker
from worker.ledger.embedded import EmbeddedLedger
from worker.observe.balance_gauges import BalanceGauges
from worker.observe.batch_observer import BatchObserver
from worker.observe.catalogue import PREFIX
from worker.observe.health import Health
from worker.observe.metrics import Metrics

PLACE = ("stripe.payments", 0)


def member(broker: EmbeddedBroker) -> Consumer:
    return Consumer(KafkaConnection(broker.bootstrap_servers), group="books", topics=[PLACE[0]])


def no_balances(ledger: EmbeddedLedger) -> BalanceGauges:
    return BalanceGauges(
        ledger=ledger,
        thread=ThreadPoolExecutor(1),
        accounts={},
        show=lambda *_: None,
        every_seconds=30,
    )


def test_a_lost_session_is_no_handover() -> None:
    """Partitions that go with the session are counted as lost, those that are given as revoked."""
    broker = EmbeddedBroker()
    broker.make_topics([PLACE[0]])
    source, metrics, ledger = member(broker), Metrics(), EmbeddedLedger(path=None)
    observer = BatchObserver(
        metrics=metrics,
        health=Health(deadline_seconds=10),
        ledger=ledger,
        source=source,
        balances=no_balances(ledger),
        sessions_lost=lambda: source.sessions_lost,
        requests=dict,
        deadline_seconds=10,
    )
    observer.rebalanced(lost=[PLACE], gained=[], assigned=[])
    source._expired(source._consumer, [ClientPartition(*PLACE)])
    polled = source.poll(records_max=1, timeout_seconds=0)
    assert polled.lost == [PLACE]
    observer.rebalanced(lost=polled.lost, gained=[], assigned=[])
    observer.rebalanced(lost=[PLACE], gained=[PLACE], assigned=[PLACE])
    source.close()
    counted = {
        kind: metrics.registry.get_sample_value(f"{PREFIX}rebalances_total", {"kind": kind})
        for kind in ("lost", "revoked", "assigned")
    }
    assert counted == {"lost": 1, "revoked": 2, "assigned": 1}


class Asked(Consumer):
    """A member that joins when it is asked for the third time."""

    times = 0

    @property
    def joined(self) -> bool:
        self.times += 1
        return self.times >= 3


def test_a_member_is_not_asked_at_every_turn() -> None:
    """Until it has joined it is; then now and then: each time waits for the client's own thread."""
    broker = EmbeddedBroker()
    broker.make_topics([PLACE[0]])
    source = Asked(KafkaConnection(broker.bootstrap_servers), group="books", topics=[PLACE[0]])
    health, ledger = Health(deadline_seconds=10), EmbeddedLedger(path=None)
    observer = BatchObserver(
        metrics=Metrics(),
        health=health,
        ledger=ledger,
        source=source,
        balances=no_balances(ledger),
        sessions_lost=lambda: 0,
        requests=dict,
        deadline_seconds=10,
    )
    seen = []
    for _ in range(5):
        observer.beat()
        seen.append(health.assigned)
    source.close()
    assert seen == [False, False, True, True, True]
    assert source.times == 3


def test_what_alerts_wait_for_is_shown_before_it_happens() -> None:
    """Each outcome and reason begins at 0: to Prometheus, a series that begins at 1 never rose."""
    metrics = Metrics()
    metrics.expect(
        [(PLACE[0], kind) for kind in OutcomeKind], [(OutcomeKind.DEAD, one) for one in Reason]
    )
    shown = generate_latest(metrics.registry).decode()
    for kind in OutcomeKind:
        assert f'outcomes_total{{outcome="{kind}",topic="{PLACE[0]}"}} 0.0' in shown
    for reason in Reason:
        assert f'outcome_reasons_total{{outcome="dead",reason="{reason}"}} 0.0' in shown


def test_an_abort_that_comes_again_makes_the_worker_not_ready() -> None:
    """Three in a row for one reason; another reason starts anew, and a commit ends it."""
    broker, ledger = EmbeddedBroker(), EmbeddedLedger()
    broker.make_topics([PLACE[0]])
    health, metrics, source = Health(deadline_seconds=10), Metrics(), member(broker)
    health.assigned = True
    observer = BatchObserver(
        metrics=metrics,
        health=health,
        ledger=ledger,
        source=source,
        balances=no_balances(ledger),
        sessions_lost=lambda: 0,
        requests=dict,
        deadline_seconds=10,
    )
    seen = []
    for reason in ("a", "a", "b", "b", "b", "b"):
        observer.aborted(reason)
        seen.append(health.ready().ok)
    assert seen == [True, True, True, True, False, False]
    assert health.ready().fields["stuck"] == "a transaction was aborted 4 times for b"
    name = f"{PREFIX}transaction_aborts_repeated"
    assert metrics.registry.get_sample_value(name) == 4
    observer.committed([], [])
    assert health.ready().ok
    assert metrics.registry.get_sample_value(name) == 0
    source.close()
