"""Every section of the settings: its keys, their defaults and allowed values.

The string under a key is what docs/configuration.md prints. No message shows a value, which could
be a secret.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from worker.config.values import (
    Section,
    Text,
    TopicName,
    client_settings,
    from_json,
    mode_text,
    names,
    topic_roles,
)

EMBEDDED: Final = "embedded"


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

    hang_seconds: float = Field(default=300, ge=60, le=86_400, allow_inf_nan=False)
    """Seconds after which a call of the loop that does not return ends the process with exit code
    3; an outage that is waited for does not count. At least 60: a call that is well takes less."""

    client: Annotated[dict[str, str | int | bool], BeforeValidator(client_settings)] = Field(
        default_factory=dict, repr=False, json_schema_extra={"shown": "`{}`"}
    )
    """A JSON object of extra librdkafka settings (TLS, SASL, …); keep secrets in a file that
    `LEDGER_WORKER_KAFKA__CLIENT_FILE` names."""

    @property
    def embedded(self) -> bool:
        """Whether the broker is gone when the process ends."""
        return self.bootstrap_servers == EMBEDDED


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


ROLE_TOPICS: Final[Mapping[str, str]] = {
    "payments": "stripe.payments",
    "settlements": "stripe.settlements",
    "commands": "wallet.commands",
    "treasury": "wallet.treasury",
    "journal": "ledger.journal",
}
"""Every role of the packaged rulebook, and the topic that `topics.yaml` declares for it.

A worker reads the first three unless `topics.inputs` names the others as well.
"""


class TopicSettings(Section):
    """The topics that are read and written."""

    inputs: Annotated[dict[Text, TopicName], BeforeValidator(topic_roles)] = Field(
        default={role: ROLE_TOPICS[role] for role in ("payments", "settlements", "commands")},
        min_length=1,
    )
    """Role to topic, as a JSON object; a plain list makes each topic its own role. The packaged
    rulebook has two more, `"treasury":"wallet.treasury"` and `"journal":"ledger.journal"`."""

    outbox: TopicName = "ledger.transfers.posted"
    """Posted transfers, one record per leg."""

    rejected: TopicName = "ledger.events.rejected"
    """Events that the ledger refused."""

    dead: TopicName = "ledger.events.dead"
    """Dead letters: original bytes, the reason in headers."""

    parked: TopicName = "ledger.events.parked"
    """Prefix of the topics where events wait for their predecessor: `.1`, `.2`, … one per delay."""

    parked_delays_seconds: Annotated[tuple[int, ...], BeforeValidator(from_json)] = Field(
        default=(10, 120, 1800, 21_600, 259_200), max_length=9
    )
    """How long an event waits at each try, as a JSON list; after the last it is a dead letter."""

    feed: TopicName = "ledger.feed"
    """How far `feed` has read at Stripe; written in the transaction of what it led to."""

    @property
    def roles(self) -> dict[str, str]:
        """Input topic to role."""
        return {topic: role for role, topic in self.inputs.items()}

    def topic_of(self, role: str) -> str:
        """The topic of a role, as `topics.yaml` declares it where no input has the role."""
        return self.inputs.get(role) or ROLE_TOPICS[role]

    def with_roles(self, roles: Iterable[str]) -> TopicSettings:
        """These topics, and the declared ones of roles that they lack."""
        found = {role: self.topic_of(role) for role in sorted(roles)}
        return self.model_copy(update={"inputs": {**self.inputs, **found}})

    @property
    def parked_topics(self) -> list[str]:
        """One topic for each delay."""
        return [f"{self.parked}.{number + 1}" for number in range(len(self.parked_delays_seconds))]

    @model_validator(mode="after")
    def _no_topic_twice(self) -> TopicSettings:
        names = [*self.inputs.values(), self.outbox, self.rejected, self.dead, self.feed]
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
        default_factory=dict, json_schema_extra={"shown": "`{}`"}
    )
    """A JSON object of schema id to the name of a packaged schema; not used when there is a
    registry."""

    subject_names: Literal["topic", "record", "topic_record"] = "topic"
    """How the producers' serializers name subjects, for `schemas` and `doctor`: `<topic>-value`,
    the record's full name, or both with a hyphen between."""

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
    token is required, which only a loopback address allows."""

    deadline_seconds: float = Field(default=2, gt=0, le=60, allow_inf_nan=False)
    """Seconds without an answer of the ledger after which `serve` answers 503."""

    pages: bool = True
    """Whether `serve` also shows pages for people: what became of an id, accounts, the group's
    status; they let in whoever has a token."""


class EventSettings(Section):
    """Whose money may enter the books."""

    livemode: Annotated[Literal["any", "true", "false"], BeforeValidator(mode_text)] = "any"
    """`true` or `false`: events of the other mode are dead letters."""

    account: str = ""
    """Whose books these are. Empty: the platform's own, and an event that names an `account` or a
    `context` is a dead letter; an account's id: events that name another are dead letters; `*`:
    every account's events go into the same books."""


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

    linger_ms: int = Field(default=0, ge=0, le=60_000)
    """Milliseconds that a batch waits for company; 0: only for the one before it."""

    skew_seconds: float = Field(default=1, gt=0, le=3600, allow_inf_nan=False)
    """A partition that was read to its end within so many seconds does not lag, and nothing waits
    for it; what lags is taken in the order of the records' timestamps, over all partitions."""

    skew_limit_seconds: float = Field(default=60, gt=0, le=86_400, allow_inf_nan=False)
    """Seconds after which the others go on without a lagging partition that brings nothing."""

    hand_over_seconds: float = Field(default=0, ge=0, le=600, allow_inf_nan=False)
    """Above 0 (try 20), one worker of a group that lags after an outage reads all of the backlog,
    in order, and the others stand by; so long is waited for them, and for one that does not go on.
    0: each reads its own partitions in order, whatever the others do."""

    legs_max: int = Field(default=0, ge=0, le=8189)
    """Legs in a batch; `0`: as many as the ledger takes in one request."""


class MetricsSettings(Section):
    """What is measured only where it is listed."""

    balances: Annotated[tuple[Text, ...], BeforeValidator(names)] = Field(
        default=(), max_length=100
    )
    """Accounts without `per:` whose balances are shown as gauges: a JSON list, or commas."""

    balances_seconds: int = Field(default=30, ge=5, le=86_400)
    """Seconds between two readings."""


class LogSettings(Section):
    """What is logged, to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is written."""

    format: Literal["auto", "json", "console"] = "auto"
    """`json` lines for machines, short `console` lines for people; `auto`: by what stderr is."""


class SyncSettings(Section):
    """Where `sync` keeps its copy of balances, and how a row is found."""

    dsn: str = Field(default="", repr=False)
    """PostgreSQL's address as libpq takes it, `postgresql://user:password@host/database`; a
    secret: keep it in a file that `LEDGER_WORKER_SYNC__DSN_FILE` names."""

    group_id: str = Field(default="", json_schema_extra={"shown": "`<kafka.group_id>-sync`"})
    """The consumer group that follows the outbox."""

    key_columns: Annotated[dict[Text, Text], BeforeValidator(from_json)] = Field(default={})
    """A JSON object of table to the column that holds the family key; a table that is not named
    here has `id`."""

    units: Annotated[dict[Text, Literal["minor", "major"]], BeforeValidator(from_json)] = Field(
        default={}
    )
    """A JSON object of `table.column` to `major` (12.30) or `minor` (1230), which is the
    default."""

    time_suffix: Text = "_ledger_timestamp"
    """What the name of a balance column is followed by in the name of the column that says when
    the balance was true, in the ledger's nanoseconds."""

    currency: str = ""
    """Keep this currency only, one row per key; empty: every currency of the rulebook, and where
    there are several, one row per key and currency."""

    currency_column: Text = "currency"
    """The column that says a row's currency, where there are several."""

    add_rows: bool = True
    """Whether a key without a row gets one; `false` leaves its balance out."""

    deadline_seconds: float = Field(default=30, gt=0, le=240, allow_inf_nan=False)
    """Seconds of trying to reach PostgreSQL again, and that one statement may take, after which
    `sync` ends with 3."""


class ReconcileSettings(Section):
    """Where `reconcile --copy` finds the copy of the transfers."""

    copy_dsn: str = Field(default="", repr=False)
    """The address of PostgreSQL or Redshift as libpq takes it,
    `postgresql://user:password@host/database`; a secret: keep it in a file that
    `LEDGER_WORKER_RECONCILE__COPY_DSN_FILE` names. Reading rights are enough."""

    copy_table: Text = "ledger.transfers"
    """The table that has the outbox's fields, as `schemas/redshift/02_tables.sql` makes it."""

    copy_deadline_seconds: float = Field(default=300, gt=0, le=3600, allow_inf_nan=False)
    """Seconds that one statement may take."""
