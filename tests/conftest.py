"""Servers that tests share: real ones where they can be had, else a skip that says what to install.

The invariant: nothing is skipped silently; every skip carries the sentence of the server's module.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.servers.kafka import KafkaBroker, KafkaUnavailable, kafka_broker
from tests.servers.postgres import PostgresServer, PostgresUnavailable, postgres_server
from tests.servers.tigerbeetle import TigerBeetleUnavailable, tigerbeetle_server

# Examples are counted, never timed: a busy machine is no reason to fail.
settings.register_profile("counted", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("counted")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The broker's tests come last: an idle broker would take time from all that follow."""
    items.sort(key=lambda item: item.get_closest_marker("kafka") is not None)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """A test that sets logging up leaves none behind: its captured stream is closed after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One real broker for the whole run: each test uses topics and groups of its own."""
    try:
        with kafka_broker(tmp_path_factory.mktemp("kafka")) as broker:
            yield broker
    except KafkaUnavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def tigerbeetle_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real TigerBeetle server for the whole run, as IP:port: each test uses ids of its own."""
    try:
        with tigerbeetle_server(data_dir=tmp_path_factory.mktemp("tigerbeetle")) as address:
            yield address
    except TigerBeetleUnavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL server for the whole run: each test uses a database of its own."""
    try:
        with postgres_server() as server:
            yield server
    except PostgresUnavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """The connection string of an empty database."""
    name = f"d{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres.dsn.rpartition("/")[0] + f"/{name}"


@pytest.fixture(
    params=["embedded", pytest.param("tigerbeetle", marks=pytest.mark.tigerbeetle)],
)
def ledger_address(request: pytest.FixtureRequest) -> str:
    """`ledger.addresses` of each kind of ledger in turn: in memory, and a real server."""
    if request.param == "embedded":
        return "embedded"
    address: str = request.getfixturevalue("tigerbeetle_address")
    return address
