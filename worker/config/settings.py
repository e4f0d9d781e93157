"""Settings: a TOML file, environment variables over it, and secrets from files.

An unknown key, in the file or in a `LEDGER_WORKER_` variable, stops the start and is named. No
message shows a value, which could be a secret.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.config.feed_section import FeedSettings
from worker.config.sections import (
    BatchSettings,
    DeadLetterSettings,
    EventSettings,
    HttpSettings,
    KafkaSettings,
    LedgerSettings,
    LogSettings,
    MetricsSettings,
    OutboxSettings,
    ReconcileSettings,
    SchemaRegistrySettings,
    ServeSettings,
    SyncSettings,
    TopicSettings,
)
from worker.config.values import Section, why
from worker.core.errors import UsageError

PREFIX: Final = "LEDGER_WORKER_"
DEFAULT_FILE: Final = Path("ledger-worker.toml")
PACKAGED_RULEBOOK: Final = Path(__file__).parents[1] / "rulebooks" / "stripe-wallets.yaml"
_SERVICE_LINK: Final = re.compile(
    r"\w+_SERVICE_(HOST|PORT(_\w+)?)=.*"
    r"|\w+_PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*"
    r"|\w+_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*",
)
"""What Kubernetes puts into every pod for a Service called `ledger-worker…`; no settings."""


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
    feed: FeedSettings = Field(default_factory=FeedSettings)
    events: EventSettings = Field(default_factory=EventSettings)
    dead_letters: DeadLetterSettings = Field(default_factory=DeadLetterSettings)
    batch: BatchSettings = Field(default_factory=BatchSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    sync: SyncSettings = Field(default_factory=SyncSettings)
    reconcile: ReconcileSettings = Field(default_factory=ReconcileSettings)
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
        if self.ledger.in_memory and not self.kafka.embedded:
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
