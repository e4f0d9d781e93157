"""The decoder of the commands that only read: Avro by the registry, or by the declared ids.

The invariant: what the worker reads, they read the same way.
"""

from __future__ import annotations

from worker.codecs.decode import Decoder
from worker.config.settings import Settings


def open_decoder(settings: Settings) -> Decoder:
    """A decoder by the settings.

    Raises:
        UsageError: a registry is set, and its client is not installed.
        DependencyUnavailable: from a record whose schema the registry does not tell within the
            ledger's deadline.
    """
    if not settings.schema_registry.url:
        return Decoder(settings.schema_registry.ids)
    from worker.kafka.registry import open_registry  # noqa: PLC0415 - Kafka's, with a registry only

    registry = open_registry(settings, ask_seconds_max=settings.ledger.deadline_seconds)
    return Decoder({}, registry.reader) if registry else Decoder({})
