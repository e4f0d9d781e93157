"""What only the TigerBeetle adapter does: deadlines, closing from elsewhere, a lost cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from tests.contract.world import LedgerSentences
from tests.servers.tigerbeetle import TigerBeetleServer
from worker.core.errors import DependencyUnavailable, LedgerClosed, UsageError
from worker.core.ports import Ledger
from worker.core.wire import Account, pack_account
from worker.ledger.open import open_ledger

pytestmark = pytest.mark.tigerbeetle
pytest.importorskip(
    "tigerbeetle", reason="no TigerBeetle client: pip install ledger-worker[tigerbeetle]"
)
NOBODY = "127.0.0.1:9"
"""The discard port: nothing listens there."""


@pytest.fixture
def paused(contract_server: TigerBeetleServer) -> Iterator[TigerBeetleServer]:
    """The server, to pause; it goes on after the test."""
    if contract_server.process is None:
        pytest.skip("a server in a container is not paused: put `tigerbeetle` on PATH")
    yield contract_server
    contract_server.resume()


def _unavailable(ledger: Ledger) -> str:
    with pytest.raises(DependencyUnavailable) as failure:
        ledger.lookup_accounts([1])
    return str(failure.value)


def test_a_cluster_that_is_not_there() -> None:
    """A deadline ends the wait, with the address, the cluster and the time in one sentence."""
    ledger = open_ledger(addresses=NOBODY, cluster_id=7, deadline_seconds=0.3)
    started = time.monotonic()
    message = _unavailable(ledger)
    assert time.monotonic() - started >= 0.3
    assert message.startswith(f"the ledger at {NOBODY}, cluster 7, did not answer in 0.3 s")
    assert ledger.waiting_seconds >= 0.3
    ledger.close()
    assert ledger.waiting_seconds == 0.0


def test_a_wrong_cluster_id_looks_like_an_outage(contract_server: TigerBeetleServer) -> None:
    """A server answers nothing to clients of another cluster; the message says so."""
    ledger = open_ledger(addresses=contract_server.address, cluster_id=7, deadline_seconds=0.5)
    assert _unavailable(ledger).endswith("(a wrong cluster id looks the same)")
    ledger.close()


def test_addresses_that_the_client_refuses() -> None:
    """More addresses than a cluster has replicas are bad usage."""
    with pytest.raises(UsageError, match="does not take the addresses"):
        open_ledger(addresses=",".join([NOBODY] * 7), cluster_id=0, deadline_seconds=1)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("CLIENT_RELEASE_TOO_HIGH", "newer than the cluster: upgrade the servers first"),
        ("CLIENT_RELEASE_TOO_LOW",  "too old for the cluster: install a newer ledger-worker"),
        ("CLIENT_EVICTED",          "more than 64 sessions are open"),
    ],
)  # fmt: skip
def test_a_cluster_that_refuses_us(status: str, says: str) -> None:
    """Each refusal is a dependency's, with one sentence that says what to do."""
    from worker.ledger import tigerbeetle  # noqa: PLC0415 - only where the client is installed

    request = tigerbeetle._Request(tigerbeetle.ClientOperation.LOOKUP_ACCOUNTS, bytes(16))
    request.status = int(getattr(tigerbeetle.PacketStatus, status))
    with pytest.raises(DependencyUnavailable, match=says):
        tigerbeetle._reply(request)


def test_close_ends_a_wait_without_deadline() -> None:
    """A call that waits for ever fails with `LedgerClosed` when another thread closes."""
    ledger = open_ledger(addresses=NOBODY, cluster_id=0, deadline_seconds=None)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            ledger.lookup_accounts([1])
        except LedgerClosed as closed:
            failures.append(closed)

    waiting = Thread(target=ask)
    waiting.start()
    while ledger.waiting_seconds == 0.0:
        time.sleep(0.01)
    ledger.close()
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    assert [str(failure) for failure in failures] == [
        "the ledger was closed while a request was under way"
    ]


def test_a_closed_ledger_answers_nothing(contract_server: TigerBeetleServer) -> None:
    """Closing twice is fine; every later call fails with `LedgerClosed`."""
    ledger = open_ledger(addresses=contract_server.address, cluster_id=0, deadline_seconds=30)
    assert ledger.batch_max == 8189
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerClosed):
        ledger.lookup_accounts([1])


def test_a_request_past_its_deadline_does_not_spoil_the_next(paused: TigerBeetleServer) -> None:
    """What passed its deadline may still be executed; the next request waits for it first."""
    ledger = open_ledger(addresses=paused.address, cluster_id=0, deadline_seconds=1)
    patient = open_ledger(addresses=paused.address, cluster_id=0, deadline_seconds=60)
    world = LedgerSentences(patient)
    debit, credit = world.account(), world.account()
    assert ledger.batch_max == 8189
    late = Account(id=world.new_id(), ledger=world.number, code=1)
    paused.pause()
    with pytest.raises(DependencyUnavailable):
        ledger.create_accounts(pack_account(late))
    with pytest.raises(DependencyUnavailable):
        ledger.lookup_accounts([debit])
    assert ledger.waiting_seconds > 1.9
    paused.resume()
    found = _until_answered(ledger, [late.id, debit, credit])
    assert [account.id for account in found] == [late.id, debit, credit]
    assert ledger.waiting_seconds == 0.0
    ledger.close()
    patient.close()


def _until_answered(ledger: Ledger, ids: list[int]) -> list[Any]:
    """After an outage the client's next attempt may come seconds later."""
    given_up = time.monotonic() + 60
    while True:
        try:
            return ledger.lookup_accounts(ids)
        except DependencyUnavailable:
            if time.monotonic() > given_up:
                raise


def test_two_threads_take_turns(contract_server: TigerBeetleServer) -> None:
    """Calls from several threads are sent one after the other, each with its own answer."""
    ledger = open_ledger(addresses=contract_server.address, cluster_id=0, deadline_seconds=60)
    world = LedgerSentences(ledger)
    accounts = [world.account() for _ in range(8)]
    answers: dict[int, list[int]] = {}

    def ask(number: int) -> None:
        ids = [accounts[number]] * (number + 1)
        for _ in range(20):
            answers[number] = [account.id for account in ledger.lookup_accounts(ids)]

    threads = [Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: [accounts[n]] * (n + 1) for n in range(8)}
    ledger.close()
