"""The announcement encoders that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.codecs.dead_letters import DeadLetters
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.parked import ParkedEvents
from worker.codecs.rejected import RejectedEncoder
from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.kafka.schema_rules import POSTED_SCHEMA
from worker.stages.announce import AnnouncementWriter


def announcement_writer(
    settings: Settings, digest: str, schemas: Mapping[int, str], now_ms: Callable[[], int]
) -> AnnouncementWriter:
    """Writes every outcome to its topic. digest: of the rulebook in force. schemas: name by id."""
    topics = settings.topics
    source = ce_source(settings)
    dead = DeadLetters(
        topic=topics.dead,
        group=settings.kafka.group_id,
        rulebook_digest=digest,
        redact=settings.dead_letters.payload == "redact",
    )
    return AnnouncementWriter(
        outbox=outbox_encoder(settings, digest, schemas, topic=topics.outbox),
        rejected=RejectedEncoder(topic=topics.rejected, source=source, rulebook_digest=digest),
        parked=ParkedEvents(topics=topics.parked_topics, dead=dead, now_ms=now_ms),
        dead=dead,
    )


def outbox_encoder(
    settings: Settings, digest: str, schemas: Mapping[int, str], *, topic: str
) -> OutboxEncoder:
    """Encodes posted legs as the settings say. digest: of the rulebook in force."""
    return OutboxEncoder(
        encoding=settings.outbox.format,
        schema_id=_posted_schema(settings, schemas),
        topic=topic,
        source=ce_source(settings),
        rulebook_digest=digest,
    )


def ce_source(settings: Settings) -> str:
    """Who announces, as CloudEvents names it: the consumer group."""
    return f"/ledger-worker/{settings.kafka.group_id}"


def _posted_schema(settings: Settings, schemas: Mapping[int, str]) -> int:
    found = [number for number, name in schemas.items() if name == POSTED_SCHEMA]
    if not found and settings.outbox.format == "avro":
        mend = (
            "ledger-worker schemas register puts it into the registry"
            if settings.schema_registry.url
            else "schema_registry.ids names none"
        )
        raise UsageError(f"outbox.format is avro, and {POSTED_SCHEMA} has no id: {mend}")
    return found[0] if found else 0
