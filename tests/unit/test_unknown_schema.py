"""An id that the registry does not know is asked for again after a while, and not before."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("confluent_kafka.schema_registry", reason="no registry client")
from confluent_kafka.schema_registry.error import SchemaRegistryError

from worker.kafka.registry import UNKNOWN_SECONDS, Registry

SCHEMA = '{"type": "record", "name": "r", "fields": [{"name": "id", "type": "string"}]}'


class Client:
    """The registry's client. knows: from now on it has every schema."""

    def __init__(self) -> None:
        self.requests = 0
        self.knows = False

    def get_schema(self, _: int) -> SimpleNamespace:
        self.requests += 1
        if not self.knows:
            raise SchemaRegistryError(404, 40403, "Schema not found")
        return SimpleNamespace(schema_str=SCHEMA, schema_type="AVRO", references=[])


def test_an_unknown_schema_may_be_registered_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each id by itself: one that is new is asked for at once."""
    now = 1000.0
    monkeypatch.setattr("worker.kafka.registry.time.monotonic", lambda: now)
    client = Client()
    registry = Registry(client)
    for _ in range(3):
        assert registry.reader(7) is None
    assert client.requests == 1
    assert registry.reader(8) is None
    assert client.requests == 2
    client.knows = True
    now += UNKNOWN_SECONDS - 0.1
    assert registry.reader(7) is None
    assert registry.reader(9) is not None
    now += 0.1
    assert registry.reader(7) is not None
    assert client.requests == 4
