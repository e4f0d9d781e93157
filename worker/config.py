"""Settings: a TOML file, environment variables over it, and secrets from files.

The invariant: no settings object exists that was not wholly understood. An unknown key, in the
file or in a `LEDGER_WORKER_` variable, stops the start and is named, and no message ever shows a
value, because it could be a secret. Imports the ports only; never an adapter.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.ports import UsageError
from worker.setting_types import (
    Section,
    Text,
    Topic,
    client_settings,
    from_json,
    mode_text,
    names,
    topic_roles,
    why,
)
from worker.sync_settings import SyncSettings

PREFIX: Final = "LEDGER_WORKER_"
DEFAULT_FILE: Final = Path("ledger-worker.toml")
PACKAGED_RULEBOOK: Final = Path(__file__).parent / "rulebooks" / "stripe-wallets.yaml"
EMBEDDED: Final = "embedded"
_SERVICE_LINK: Final = re.compile(
    r"\w+_SERVICE_(HOST|PORT(_\w+)?)=.*"
    r"|\w+_PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*"
    r"|\w+_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*",
)
"""What Kubernetes puts into every pod for a Service called `ledger-worker…`; no settings."""


class KafkaSettings(Section):
    """The brokers and who we are to them."""

    bootstrap_servers: Text = "localhost:9092"
    """Brokers as `host:port`, commas between; `embedded` for the mock cluster in the process."""

    group_id: Text = "ledger-worker"
    """The consumer group; also part of every transfer's position in the ledger."""

    transactional_id: Text = Field(
        default_factory=lambda given: (
            f"{given.get('group_id', '')}-{socket.gethostname()}-{os.getpid()}"
        ),
        json_schema_extra={"shown": "`<group>-<hostname>-<pid>`"},
    )
    """The producer's identity: stable and one per process, so that a restart ends at once what
    its predecessor left open."""

    group_instance_id: str = ""
    """A name that stays with this member over restarts (static membership), one per process: it
    comes back to its partitions without a rebalance; empty: none."""

    client: Annotated[dict[str, str | int | bool], BeforeValidator(client_settings)] = Field(
        default_factory=dict, repr=False, json_schema_extra={"shown": "`{}`"}
    )
    """A JSON object of extra librdkafka settings (TLS, SASL, …); keep secrets in a file that
    `LEDGER_WORKER_KAFKA__CLIENT_FILE` names."""


class LedgerSettings(Section):
    """The ledger and how long to wait for it."""

    addresses: Text = "127.0.0.1:3000"
    """TigerBeetle replicas as `host:port`, commas between; `embedded` for the ledger in this
    process, `embedded:FILE` to keep that one on disk."""

    cluster_id: int = Field(default=0, ge=0, lt=1 << 128)
    """TigerBeetle's cluster number."""

    deadline_seconds: float = Field(default=10, gt=0, le=86_400, allow_inf_nan=False)
    """Seconds without an answer after which the worker shows not-ready and commands give up."""

    @field_validator("addresses")
    @classmethod
    def _names_a_file(cls, addresses: str) -> str:
        if addresses == f"{EMBEDDED}:":
            raise ValueError("must name a file after `embedded:`")
        return addresses

    @property
    def in_memory(self) -> bool:
        """Whether the ledger is gone when the process ends."""
        return self.addresses == EMBEDDED


class TopicSettings(Section):
    """The topics that are read and written."""

    inputs: Annotated[dict[Text, Topic], BeforeValidator(topic_roles)] = Field(
        default={
            "payments": "stripe.payments",
            "settlements": "stripe.settlements",
            "commands": "wallet.commands",
        },
        min_length=1,
    )
    """Role to topic, as a JSON object; a plain list makes each topic its own role."""

    outbox: Topic = "ledger.transfers.posted"
    """Posted transfers, one record per leg."""

    rejected: Topic = "ledger.events.rejected"
    """Events that the ledger refused."""

    dead: Topic = "ledger.events.dead"
    """Dead letters: original bytes, the reason in headers."""

    parked: Topic = "ledger.events.parked"
    """Prefix of the topics where events wait for their predecessor: `.1`, `.2`, … one per delay."""

    parked_delays_seconds: Annotated[tuple[int, ...], BeforeValidator(from_json)] = Field(
        default=(10, 120, 1800, 21_600, 259_200), max_length=9
    )
    """How long an event waits at each try, as a JSON list; after the last it is a dead letter."""

    @property
    def parked_topics(self) -> list[str]:
        """One topic for each delay."""
        return [f"{self.parked}.{number + 1}" for number in range(len(self.parked_delays_seconds))]

    @model_validator(mode="after")
    def _no_topic_twice(self) -> TopicSettings:
        names = [*self.inputs.values(), self.outbox, self.rejected, self.dead]
        names += self.parked_topics
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"every topic must have a name of its own: {', '.join(twice)}")
        return self


class OutboxSettings(Section):
    """How posted transfers are announced."""

    format: Literal["json", "avro"] = "json"
    """`json` is what Redshift streaming ingestion reads; `avro` has the same fields."""


class SchemaRegistrySettings(Section):
    """What the schema ids in Avro records mean."""

    url: str = Field(default="", repr=False)
    """The registry's address; empty: `ids` says what an id means, and any other is unknown."""

    ids: Annotated[dict[int, Text], BeforeValidator(from_json)] = Field(
        default={
            1: "stripe_payment_event",
            2: "stripe_settlement_event",
            3: "wallet_command",
            4: "posted_transfer",
            5: "rejected_event",
        }
    )
    """A JSON object of schema id to the name of a packaged schema; not asked when there is a
    registry."""

    client: Annotated[dict[str, str | int | bool], BeforeValidator(client_settings)] = Field(
        default_factory=dict, repr=False, json_schema_extra={"shown": "`{}`"}
    )
    """A JSON object of extra settings of Confluent's registry client (`basic.auth.user.info`,
    `ssl.ca.location`, …); secrets in a file that `LEDGER_WORKER_SCHEMA_REGISTRY__CLIENT_FILE`
    names."""


class HttpSettings(Section):
    """Where `/livez`, `/readyz` and `/metrics` answer."""

    host: Text = "0.0.0.0"  # noqa: S104 - probes and scrapers come from outside the pod
    """The address to listen on."""

    port: int = Field(default=9464, ge=0, le=65_535)
    """The port; `0` takes a free one and logs it."""


class ServeSettings(Section):
    """Where `serve` answers, and whom."""

    host: Text = "127.0.0.1"
    """The address that `serve` listens on; anything but loopback needs `serve.tokens_file`."""

    port: int = Field(default=9465, ge=0, le=65_535)
    """The port of `serve`; `0` takes a free one and logs it."""

    tokens_file: str = ""
    """A file of bearer tokens for `serve`, one on a line, read again when it changes; empty: no
    token is asked for, which only a loopback address allows."""

    deadline_seconds: float = Field(default=2, gt=0, le=60, allow_inf_nan=False)
    """Seconds without an answer of the ledger after which `serve` answers 503."""


class EventSettings(Section):
    """Whose money may enter the books."""

    livemode: Annotated[Literal["any", "true", "false"], BeforeValidator(mode_text)] = "any"
    """`true` or `false`: events of the other mode are dead letters."""

    account: str = ""
    """A Stripe account id: events of any other account are dead letters; empty: no check."""


class DeadLetterSettings(Section):
    """What dead letters hold."""

    payload: Literal["keep", "redact"] = "keep"
    """`redact` leaves the value out: its SHA-256, size and position stay, and the record itself is
    where it came from."""


class BatchSettings(Section):
    """When a batch goes to the ledger: at the first limit it meets."""

    events_max: int = Field(default=4096, ge=1, le=100_000)
    """Events in a batch."""

    bytes_max: int = Field(default=8 * 1024 * 1024, ge=1024, le=1 << 30)
    """Bytes of records in a batch."""

    linger_ms: int = Field(default=5, ge=0, le=60_000)
    """Milliseconds to wait for a batch to fill."""

    legs_max: int = Field(default=0, ge=0, le=8189)
    """Legs in a batch; `0`: as many as the ledger takes in one request."""


class MetricsSettings(Section):
    """What is measured only when asked for."""

    balances: Annotated[tuple[Text, ...], BeforeValidator(names)] = Field(
        default=(), max_length=100
    )
    """Accounts without `per:` whose balances are shown as gauges: a JSON list, or commas."""

    balances_seconds: int = Field(default=30, ge=5, le=86_400)
    """Seconds between two looks at them."""


class LogSettings(Section):
    """What is logged, to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is written."""

    format: Literal["json", "console"] = "json"
    """JSON lines for machines, `console` for people."""


class Settings(BaseSettings):
    """Everything that can be set. Made by `load_settings`, which explains what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    rulebook: Path = Field(
        default=PACKAGED_RULEBOOK, json_schema_extra={"shown": "the packaged `stripe-wallets.yaml`"}
    )
    """The rulebook's file."""

    topics: TopicSettings = Field(default_factory=TopicSettings)
    outbox: OutboxSettings = Field(default_factory=OutboxSettings)
    schema_registry: SchemaRegistrySettings = Field(default_factory=SchemaRegistrySettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    events: EventSettings = Field(default_factory=EventSettings)
    dead_letters: DeadLetterSettings = Field(default_factory=DeadLetterSettings)
    batch: BatchSettings = Field(default_factory=BatchSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    sync: SyncSettings = Field(default_factory=SyncSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment variables over the file, whose content is given to the constructor."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _books_outlive_offsets(self) -> Settings:
        if self.ledger.in_memory and self.kafka.bootstrap_servers != EMBEDDED:
            raise ValueError(
                "the in-memory ledger (ledger.addresses = embedded) needs the embedded broker:"
                " Kafka would keep offsets of postings that are lost when the process ends;"
                " use embedded:FILE or a TigerBeetle cluster"
            )
        return self


def load_settings(path: Path | None = None) -> Settings:
    """The settings of a TOML file and the environment over it.

    Args:
        path: the file; None takes `./ledger-worker.toml` if there is one.

    Raises:
        UsageError: one sentence per problem, each on its line, naming the key and no value.
    """
    _refuse_unknown_variables(os.environ)
    document = _read_toml(path)
    try:
        return Settings(**document)
    except ValidationError as error:
        problems = [_sentence(problem["loc"], problem) for problem in error.errors()]
        raise UsageError("\n".join(problems)) from None


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None and not DEFAULT_FILE.exists():
        return {}
    file = path or DEFAULT_FILE
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the settings file {file} cannot be read: {why(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the settings file {file} is not TOML: {error}") from None
    private = [key for key in document if key.startswith("_")]
    if private:  # pydantic-settings would take these as options of its own
        raise UsageError(f"unknown setting {private[0]}")
    return document


def setting_keys() -> Iterator[str]:
    """Every key as the file writes it (`kafka.group_id`), in order of declaration."""
    for name, declared in Settings.model_fields.items():
        section = declared.annotation
        if isinstance(section, type) and issubclass(section, Section):
            yield from (f"{name}.{key}" for key in section.model_fields)
        else:
            yield name


def variable(key: str) -> str:
    """The environment variable of a key: `kafka.group_id` is LEDGER_WORKER_KAFKA__GROUP_ID."""
    return PREFIX + key.replace(".", "__").upper()


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {variable(key) for key in setting_keys()}
    known |= {f"{name}_FILE" for name in known if "__" in name}
    known.add(f"{PREFIX}DEBUG")  # read by the command line, before there are settings
    given = {name.upper(): value for name, value in environ.items()}
    problems = [
        f"unknown environment variable {name}{_meant(name, known)}"
        for name, value in given.items()
        if name.startswith(PREFIX)
        and name not in known
        and not _SERVICE_LINK.fullmatch(f"{name}={value}")
    ]
    if problems:
        raise UsageError("\n".join(problems))


def _sentence(location: tuple[int | str, ...], problem: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in location if part != "[key]")
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {key}{_meant(key, set(setting_keys()))}"
    text = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    named = next((name for name in setting_keys() if f"{key}.".startswith(f"{name}.")), None)
    if named is None:
        return f"{key}: {text}" if key else text
    return f"{key} ({variable(named)}): {text}"


def _meant(given: str, known: set[str]) -> str:
    close = get_close_matches(given, sorted(known), n=1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""
