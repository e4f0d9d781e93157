"""A Confluent-compatible schema registry: the schema of a frame's id, and what is registered.

A registry that does not answer never makes a dead letter: requests are repeated for a while, then
the process ends with nothing committed. No message shows its address, which can hold a password.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import structlog

from worker.codecs.avro import BodyReader, generation_reader
from worker.codecs.decode import Decoder
from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.kafka.schema_rules import COMPATIBILITY, schema_text, subjects

ASK_SECONDS_MAX: Final = 60.0
"""How long a request is repeated. Well below Kafka's `max.poll.interval.ms` (5 minutes)."""

ASK_AGAIN_SECONDS: Final = 1.0
UNKNOWN_SECONDS: Final = 60.0
"""How long an id unknown to the registry is not requested again."""

NOT_FOUND: Final = 404
CLIENT_DEFAULTS: Final[Mapping[str, Any]] = {"timeout": 10, "max.retries": 1}

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Registry:
    """One registry; made by `open_registry`.

    while_waiting: called between two tries.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - confluent_kafka's, which is not always installed
        *,
        ask_seconds_max: float = ASK_SECONDS_MAX,
        while_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._ask_seconds_max = ask_seconds_max
        self._while_waiting = while_waiting
        self._unknown: dict[int, float] = {}

    def reader(self, schema_id: int) -> BodyReader | None:
        """Reads what was written under this id; None when no Avro schema has it.

        Raises:
            DependencyUnavailable: the registry did not answer, or refused us.
        """
        unknown_since = self._unknown.get(schema_id)
        if unknown_since is not None and time.monotonic() - unknown_since < UNKNOWN_SECONDS:
            return None
        found = self._request(lambda: self._client.get_schema(schema_id))
        if found is None or found.schema_type != "AVRO" or found.references:
            kind = "nothing" if found is None else found.schema_type
            _log.warning("schema_unknown", schema_id=schema_id, found=kind)
            self._unknown[schema_id] = time.monotonic()
            return None
        return generation_reader(found.schema_str)

    def id_of(self, subject: str, text: str) -> int | None:
        """The id under which a subject holds this very schema; None when it does not."""
        schema = self._schema(text)
        found = self._request(lambda: self._client.lookup_schema(subject, schema))
        return None if found is None else int(found.schema_id)

    def versions(self, subject: str) -> dict[int, str]:
        """Every generation that a subject holds, by its number; empty when there is none."""
        numbers = self._request(lambda: self._client.get_versions(subject)) or []
        found = {number: self._version(subject, number) for number in numbers}
        return {number: text for number, text in found.items() if text is not None}

    def _version(self, subject: str, number: int) -> str | None:
        found = self._request(lambda: self._client.get_version(subject, number))
        return None if found is None else str(found.schema.schema_str)

    def register(self, subject: str, text: str) -> int:
        """Set the subject's compatibility, register the schema, and give its id."""
        self._request(lambda: self._client.set_compatibility(subject, COMPATIBILITY))
        schema = self._schema(text)
        found = self._request(lambda: self._client.register_schema(subject, schema))
        if found is None:
            raise DependencyUnavailable(f"the schema registry did not take {subject}")
        return int(found)

    @staticmethod
    def _schema(text: str) -> Any:  # noqa: ANN401 - confluent_kafka's
        from confluent_kafka.schema_registry import Schema  # noqa: PLC0415 - an optional package

        return Schema(text, "AVRO")

    def _request(self, ask: Callable[[], T]) -> T | None:
        """The answer; None for "not found". A passing error is retried until the deadline."""
        from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415
        from httpx2 import HTTPError  # noqa: PLC0415 - comes with confluent_kafka's client

        deadline = time.monotonic() + self._ask_seconds_max
        while True:
            try:
                return ask()
            except SchemaRegistryError as error:
                status = int(error.http_status_code)
                if status == NOT_FOUND:
                    return None
                why = f"answered {status}"
                if status < 500 and status != 429:  # noqa: PLR2004 - HTTP: it will not pass
                    message = f"the schema registry {why}: {error.error_message}"
                    raise DependencyUnavailable(message) from None
            except HTTPError as error:
                why = f"could not be reached ({type(error).__name__})"
            if time.monotonic() + ASK_AGAIN_SECONDS > deadline:
                raise DependencyUnavailable(
                    f"the schema registry {why}, for {self._ask_seconds_max:g} s"
                )
            _log.warning("schema_registry_waiting", why=why)
            self._while_waiting()
            time.sleep(ASK_AGAIN_SECONDS)


def open_registry(
    settings: Settings,
    *,
    ask_seconds_max: float = ASK_SECONDS_MAX,
    while_waiting: Callable[[], None] = lambda: None,
) -> Registry | None:
    """The registry that the settings name; None when they name none.

    Raises:
        UsageError: its packages are not installed, or a setting of it is wrong.
    """
    named = settings.schema_registry
    if not named.url:
        return None
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415 - optional
    except ModuleNotFoundError:
        raise UsageError(
            "schema_registry.url needs more packages: pip install 'ledger-worker[registry]'"
        ) from None
    try:
        client = SchemaRegistryClient({**CLIENT_DEFAULTS, **named.client, "url": named.url})
    except (ValueError, TypeError):
        raise UsageError(
            "schema_registry.url or schema_registry.client is not what Confluent's registry client"
            " takes: the address begins with http:// or https://"
        ) from None
    return Registry(client, ask_seconds_max=ask_seconds_max, while_waiting=while_waiting)


def decoder_of(schemas: Mapping[int, str], registry: Registry | None) -> Decoder:
    """A decoder that knows these schemas, and asks the registry for any other, if there is one.

    schemas: schema id to packaged schema.
    """
    return Decoder(schemas, registry.reader) if registry else Decoder(schemas)


def open_decoder(settings: Settings) -> Decoder:
    """The decoder of the commands that only read: by the registry, or by the ids that are set.

    Raises:
        UsageError: a registry is set, and its client is not installed.
        DependencyUnavailable: from a record whose schema the registry does not give within the
            ledger's deadline.
    """
    registry = open_registry(settings, ask_seconds_max=settings.ledger.deadline_seconds)
    return decoder_of({} if registry else settings.schema_registry.ids, registry)


def schema_ids(settings: Settings, registry: Registry | None) -> dict[int, str]:
    """Schema id to packaged schema: as the registry holds the subjects in use, or as set.

    A registry where a subject does not hold the packaged generation leaves it out: what others
    wrote is looked up by its id when it comes.
    """
    if registry is None:
        return dict(settings.schema_registry.ids)
    found = {
        registry.id_of(subject, schema_text(name)): name
        for subject, name in subjects(settings).items()
    }
    return {schema_id: name for schema_id, name in found.items() if schema_id is not None}
