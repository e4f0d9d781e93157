"""A worker's balance gauges, on the embedded broker and ledger."""

from __future__ import annotations

import time
from typing import Any

from tests.draining import drain
from tests.produced import produce
from worker.config.settings import PACKAGED_RULEBOOK, load_settings
from worker.core.ids import account_id
from worker.jobs.live.compose import open_worker, with_broker
from worker.ledger.embedded import EmbeddedLedger
from worker.observe.catalogue import PREFIX
from worker.rulebooks.load import load

USD = load(PACKAGED_RULEBOOK).ledgers["usd"].ledger


def test_a_worker_shows_them() -> None:
    """With metrics.balances set, /metrics has what the ledger holds once traffic was posted."""
    settings = load_settings()
    changes: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": "embedded"},
        "ledger": {"addresses": "embedded"},
        "http": {"host": "127.0.0.1", "port": 0},
        "metrics": {"balances": ("stripe_clearing",), "balances_seconds": 0},
    }
    settings = settings.model_copy(
        update={key: getattr(settings, key).model_copy(update=one) for key, one in changes.items()}
    )
    ledger = EmbeddedLedger()
    outputs = [settings.topics.outbox, settings.topics.rejected, settings.topics.dead]
    with with_broker(settings, outputs) as reachable:
        produce(reachable, skip=0, events=200)
        with open_worker(reachable, ledger=ledger, embedded_broker=True) as worker:
            drain(worker)
            registry = worker.observer._metrics.registry
            (held,) = ledger.lookup_accounts(
                [account_id(ledger=USD, name="stripe_clearing", key="")]
            )
            net = (held.debits_posted - held.credits_posted) / 100
            labels = {"account": "stripe_clearing", "currency": "usd"}
            deadline = time.monotonic() + 30
            while registry.get_sample_value(f"{PREFIX}account_balance", labels) != net:
                assert time.monotonic() < deadline
                worker.pipeline.step()
    assert net != 0
