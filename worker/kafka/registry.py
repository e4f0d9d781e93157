"""A Confluent-compatible schema registry: the schema of a frame's id, and what is registered.

A registry that does not answer never makes a dead letter: the commands repeat a request for a while
and end, the worker waits (`live_schemas`). No message shows its address, which can hold a password.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_fixed

from worker.codecs.avro import BodyReader
from worker.codecs.decode import Decoder, SchemaId
from worker.codecs.writer_schemas import RefusedBodies, event_reader
from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.optional import optional_packages
from worker.kafka.schema_rules import COMPATIBILITY, schema_text, subjects

ASK_SECONDS_MAX: Final = 60.0
"""How long a request is repeated. Well below Kafka's `max.poll.interval.ms` (5 minutes)."""

ASK_AGAIN_SECONDS: Final = 1.0
UNKNOWN_SECONDS: Final = 5.0
"""How long an id unknown to the registry is not requested again."""

REFERENCES_MAX: Final = 64
"""How many other schemas a registered one may need."""

NOT_FOUND: Final = 404
CLIENT_DEFAULTS: Final[Mapping[str, Any]] = {"timeout": 10, "max.retries": 0}
"""Who asks repeats a request, and says so."""

AVRO: Final = "AVRO"

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class RegistryAway(Exception):
    """One request was not answered as a registry does. passes: may it be later?"""

    def __init__(self, why: str, *, passes: bool) -> None:
        super().__init__(why)
        self.passes = passes


class RegisteredSchema(NamedTuple):
    """A schema as a registry holds it.

    kind: AVRO, JSON or PROTOBUF.
    references: the texts of what it refers to, each after those that it needs itself.
    """

    kind: str
    text: str
    references: tuple[str, ...] = ()


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
        self._unknown: dict[SchemaId, float] = {}

    def reader(self, schema_id: SchemaId) -> BodyReader | None:
        """Reads what was written under this id; None when the registry does not know it.

        Raises:
            DependencyUnavailable: the registry did not answer, or refused us.
        """
        unknown_since = self._unknown.get(schema_id)
        if unknown_since is not None and time.monotonic() - unknown_since < UNKNOWN_SECONDS:
            return None
        found = self._request(lambda: self._fetch(schema_id))
        if found is None:
            _log.warning("schema_unknown", schema_id=schema_id)
            self._unknown[schema_id] = time.monotonic()
            return None
        return reader_of(found)

    def reader_now(self, schema_id: SchemaId) -> BodyReader | None:
        """The same by one request.

        Raises:
            RegistryAway: it was not answered as a registry does.
        """
        found = self._once(lambda: self._fetch(schema_id))
        return None if found is None else reader_of(found)

    def _fetch(self, schema_id: SchemaId) -> RegisteredSchema:
        if isinstance(schema_id, str):
            return self._with_references(self._client.get_schema_by_guid(schema_id))
        return self._with_references(self._client.get_schema(schema_id))

    def _with_references(self, schema: Any) -> RegisteredSchema:  # noqa: ANN401 - the client's
        """The schema and all that it refers to. KeyError where the answer is no schema."""
        texts: dict[tuple[str, int], str] = {}
        if not isinstance(schema.schema_str, str):
            self._client.clear_caches()  # it would give this answer for good
            raise KeyError("schema")
        kind = str(schema.schema_type or AVRO)
        if kind == AVRO:
            self._collect(schema, texts)
        return RegisteredSchema(kind, schema.schema_str, tuple(texts.values()))

    def _collect(self, schema: Any, texts: dict[tuple[str, int], str]) -> None:  # noqa: ANN401
        for reference in schema.references or ():
            name = (str(reference.subject), int(reference.version))
            if name in texts or len(texts) >= REFERENCES_MAX:
                continue
            other = self._client.get_version(*name).schema
            self._collect(other, texts)
            texts[name] = str(other.schema_str)

    def id_of(self, subject: str, text: str) -> int | None:
        """The id under which a subject holds this very schema; None when it does not."""
        schema = self._schema(text)
        found = self._request(lambda: self._client.lookup_schema(subject, schema))
        return None if found is None else int(found.schema_id)

    def versions(self, subject: str) -> dict[int, RegisteredSchema]:
        """Every generation that a subject holds, by its number; empty when there is none."""
        numbers = self._request(lambda: self._client.get_versions(subject)) or []
        found = {number: self._version(subject, number) for number in numbers}
        return {number: schema for number, schema in found.items() if schema is not None}

    def _version(self, subject: str, number: int) -> RegisteredSchema | None:
        return self._request(
            lambda: self._with_references(self._client.get_version(subject, number).schema)
        )

    def register(self, subject: str, text: str) -> int:
        """Register the schema, and give its id."""
        schema = self._schema(text)
        found = self._request(lambda: self._client.register_schema(subject, schema))
        if found is None:
            raise DependencyUnavailable(f"the schema registry did not take {subject}")
        return int(found)

    def compatibility(self, subject: str) -> str:
        """What the subject asks of new generations; empty where only the registry's own level does.

        Raises:
            DependencyUnavailable: the registry did not answer, or does not say it to us.
        """
        return str(self._request(lambda: self._client.get_compatibility(subject)) or "")

    def set_compatibility(self, subject: str) -> None:
        """Ask FULL_TRANSITIVE of new generations.

        Raises:
            DependencyUnavailable: the registry did not answer, or does not let us.
        """
        self._request(lambda: self._client.set_compatibility(subject, COMPATIBILITY))

    @staticmethod
    def _schema(text: str) -> Any:  # noqa: ANN401 - confluent_kafka's
        from confluent_kafka.schema_registry import Schema  # noqa: PLC0415 - an optional package

        return Schema(text, "AVRO")

    def _request(self, ask: Callable[[], T]) -> T | None:
        """The answer; None for "not found". A passing error is retried until the deadline."""

        def waiting(tries: RetryCallState) -> None:
            why = tries.outcome.exception() if tries.outcome else None
            _log.warning("schema_registry_waiting", why=str(why))
            self._while_waiting()

        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_before_delay(self._ask_seconds_max),
            wait=wait_fixed(ASK_AGAIN_SECONDS),
            before_sleep=waiting,
            reraise=True,
        )
        try:
            return retrying(self._once, ask)
        except RegistryAway as away:
            lasted = f", for {self._ask_seconds_max:g} s" if away.passes else ""
            raise DependencyUnavailable(f"the schema registry {away}{lasted}") from None

    @staticmethod
    def _once(ask: Callable[[], T]) -> T | None:
        """The answer to one request; None for "not found" in a registry's own words."""
        from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415
        from httpx2 import HTTPError  # noqa: PLC0415 - comes with confluent_kafka's client

        try:
            return ask()
        except SchemaRegistryError as error:
            status, code = int(error.http_status_code), error.error_code
            if status == NOT_FOUND and _is_registrys(code):
                return None
            if status == NOT_FOUND:
                why = "answered 404, as no registry does: look at the path of schema_registry.url"
                raise RegistryAway(why, passes=True) from None
            said = f": {error.error_message}" if _is_registrys(code) else ""
            passes = status >= 500 or status == 429  # noqa: PLR2004 - HTTP
            raise RegistryAway(f"answered {status}{said}", passes=passes) from None
        except HTTPError as error:
            why = f"could not be reached ({type(error).__name__})"
            raise RegistryAway(why, passes=True) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            why = "answered what no registry does: look at schema_registry.url, and at proxies"
            raise RegistryAway(why, passes=True) from None


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, RegistryAway) and error.passes


def _is_registrys(code: object) -> bool:
    """Is this an error code of the registry's API, of five digits, and not a web server's?"""
    return isinstance(code, int) and code >= 10_000  # noqa: PLR2004


def reader_of(schema: RegisteredSchema) -> BodyReader:
    """A reader for what was written with a registered schema."""
    if schema.kind != AVRO:
        return RefusedBodies(f"the schema is of the kind {schema.kind}, and only Avro is read")
    return event_reader(schema.text, schema.references)


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
    with optional_packages("schema_registry.url", extra="registry"):
        from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415 - optional
    try:
        client = SchemaRegistryClient({**CLIENT_DEFAULTS, **named.client, "url": named.url})
    except (ValueError, TypeError):
        raise UsageError(
            "schema_registry.url or schema_registry.client is not what Confluent's registry client"
            " takes: the address begins with http:// or https://"
        ) from None
    return Registry(client, ask_seconds_max=ask_seconds_max, while_waiting=while_waiting)


def decoder_of(settings: Settings, registry: Registry | None) -> Decoder:
    """A decoder by the registry, or by the ids that are set where there is none.

    With a registry every id is looked up: what a writer wrote is known by its schema alone.
    """
    return Decoder({}, registry.reader) if registry else Decoder(settings.schema_registry.ids)


def open_decoder(settings: Settings) -> Decoder:
    """The decoder of the commands that only read: by the registry, or by the ids that are set.

    Raises:
        UsageError: a registry is set, and its client is not installed.
        DependencyUnavailable: from a record whose schema the registry does not give within the
            ledger's deadline.
    """
    registry = open_registry(settings, ask_seconds_max=settings.ledger.deadline_seconds)
    return decoder_of(settings, registry)


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
