"""Ledgers for the contract tests: the embedded one in memory and in a file, and a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.world import LedgerSentences
from tests.servers.tigerbeetle import TigerBeetleServer, TigerBeetleUnavailable, tigerbeetle
from worker.core.errors import UsageError
from worker.core.ports import Ledger
from worker.ledger.embedded import EmbeddedLedger
from worker.ledger.open import open_ledger

DEADLINE_SECONDS = 30.0


def _skipping_server(*, development: bool, data_dir: Path) -> Iterator[TigerBeetleServer]:
    try:
        with tigerbeetle(development=development, data_dir=data_dir) as server:
            yield server
    except TigerBeetleUnavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="package")
def contract_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TigerBeetleServer]:
    """A real server, shared by all tests here: each uses ids and a ledger of its own."""
    yield from _skipping_server(development=False, data_dir=tmp_path_factory.mktemp("tigerbeetle"))


@pytest.fixture(scope="package")
def development_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TigerBeetleServer]:
    """A real server that takes small batches only."""
    yield from _skipping_server(development=True, data_dir=tmp_path_factory.mktemp("development"))


def _opened(server: TigerBeetleServer) -> Iterator[Ledger]:
    try:
        ledger = open_ledger(
            addresses=server.address, cluster_id=0, deadline_seconds=DEADLINE_SECONDS
        )
    except UsageError as missing:
        pytest.skip(str(missing))
    yield ledger
    ledger.close()


@pytest.fixture(scope="package")
def real_ledger(contract_server: TigerBeetleServer) -> Iterator[Ledger]:
    """The adapter to the real server, one session for all tests."""
    yield from _opened(contract_server)


@pytest.fixture(scope="package")
def development_ledger(development_server: TigerBeetleServer) -> Iterator[Ledger]:
    """The adapter to the `--development` server."""
    yield from _opened(development_server)


@pytest.fixture(
    params=[
        "memory",
        "file",
        pytest.param("tigerbeetle", marks=pytest.mark.tigerbeetle),
    ]
)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """Each kind of ledger behind the port, in turn."""
    if request.param == "tigerbeetle":
        yield request.getfixturevalue("real_ledger")
        return
    path = tmp_path / "ledger" if request.param == "file" else None
    embedded = EmbeddedLedger(path=path)
    yield embedded
    embedded.close()


@pytest.fixture(params=["memory", pytest.param("tigerbeetle", marks=pytest.mark.tigerbeetle)])
def small_ledger(request: pytest.FixtureRequest) -> Ledger:
    """Each kind of ledger as `--development` servers are: 253 rows a request."""
    if request.param == "tigerbeetle":
        found: Ledger = request.getfixturevalue("development_ledger")
        return found
    return EmbeddedLedger(batch_max=253)


@pytest.fixture
def world(ledger: Ledger) -> LedgerSentences:
    """A ledger with ids and a ledger number that no other test uses."""
    return LedgerSentences(ledger)
