"""Topics and grants as `topics/topics.yaml` declares them; an unknown key is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from worker.config.settings import Settings
from worker.config.values import TopicName, why
from worker.core.errors import UsageError

PACKAGED: Final = Path(__file__).parents[2] / "topics" / "topics.yaml"

HOUR_MS: Final = 3_600_000
HOURS: Final = {"h": 1, "d": 24, "y": 366 * 24}
"""A year is a leap year here, so that seven of them are never short."""
FOREVER: Final = -1

Resource = Literal["topic", "group", "transactional_id"]
TopicAccess = Literal["read", "write"]


class Grant(NamedTuple):
    """A principal may do something; a prefixed grant holds for every name that begins so."""

    user: str
    operation: TopicAccess
    resource: Resource
    name: str
    prefixed: bool


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it should be; `config` holds Kafka's own settings, values as text."""

    name: str
    about: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicsFile:
    """The whole file."""

    topics: tuple[TopicSpec, ...]
    grants: tuple[Grant, ...]
    users: Mapping[str, str]
    """Each user, and what it is."""


def load_topics(path: Path = PACKAGED, *, replication: int | None = None) -> TopicsFile:
    """The topics and grants of a file.

    Args:
        path: the file; the packaged one by default.
        replication: replaces every topic's, and caps the in-sync minimum: for clusters of one.

    Raises:
        UsageError: one sentence per problem, each with the file and the key.
    """
    document = _read(path)
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        raise UsageError(
            "\n".join(f"{path}: {_problem(problem)}" for problem in error.errors())
        ) from None
    named = {
        name: list(_names(name, declared_topic)) for name, declared_topic in file.topics.items()
    }
    twice = _repeated([each for names in named.values() for each in names])
    if twice:
        raise UsageError(f"{path}: topics: {twice} is declared twice, once by a number")
    topics = tuple(
        _spec(path, name, declared_topic, file.defaults, replication)
        for declared, declared_topic in file.topics.items()
        for name in named[declared]
    )
    grants = tuple(_grants(path, file.users, named))
    return TopicsFile(topics, grants, {name: user.about for name, user in file.users.items()})


def require_declared(settings: Settings, declared: TopicsFile, path: Path) -> None:
    """Every topic that the settings name must be declared.

    Raises:
        UsageError: naming the setting and the topic that is not.
    """
    known = {topic.name for topic in declared.topics}
    topics = settings.topics
    wanted = {f"topics.inputs.{role}": name for role, name in topics.inputs.items()}
    wanted |= {name: getattr(topics, name) for name in ("outbox", "rejected", "dead")}
    wanted |= {f"parked, delay {at}": name for at, name in enumerate(topics.parked_topics, 1)}
    missing = [f"{key} is {name}" for key, name in wanted.items() if name not in known]
    if missing:
        raise UsageError(f"{path} does not declare every topic in use: {'; '.join(missing)}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _milliseconds(given: object) -> object:
    if given == "forever":
        return FOREVER
    found = re.fullmatch(r"([1-9]\d{0,5})([hdy])", str(given))
    if found is None:
        raise ValueError("must be hours, days or years (12h, 90d, 7y), or forever")
    return int(found[1]) * HOURS[found[2]] * HOUR_MS


def _config_text(given: object) -> object:
    """Kafka's settings are text: YAML's booleans and numbers as Kafka writes them."""
    if not isinstance(given, dict):
        return given
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.items()
    }


_Config = Annotated[dict[str, str], BeforeValidator(_config_text)]
_Cleanup = Literal["delete", "compact", "compact,delete"]
_Count = Annotated[int, Field(ge=1, le=10_000)]


class _Defaults(_Strict):
    replication: _Count = 3
    in_sync_min: _Count = 2
    cleanup: _Cleanup = "delete"
    config: _Config = {}


class _Topic(_Strict):
    about: Annotated[str, Field(min_length=1)]
    partitions: _Count
    retention: Annotated[int, BeforeValidator(_milliseconds)]
    record_bytes_max: Annotated[int, Field(ge=1024, le=1 << 30)]
    numbered: Annotated[int, Field(ge=1, le=100)] | None = None
    replication: _Count | None = None
    in_sync_min: _Count | None = None
    cleanup: _Cleanup | None = None
    config: _Config = {}


class _User(_Strict):
    about: Annotated[str, Field(min_length=1)]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    transactional_ids: tuple[str, ...] = ()


class _File(_Strict):
    version: Literal[1]
    defaults: _Defaults = _Defaults()
    topics: Annotated[dict[TopicName, _Topic], Field(min_length=1)]
    users: dict[str, _User] = {}


def _read(path: Path) -> Any:  # noqa: ANN401 - whatever YAML has
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {why(error)}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise UsageError(f"{path}{line} is not YAML") from None


def _problem(problem: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}"
    text = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    return f"{key}: {text}" if key else text


def _names(name: str, topic: _Topic) -> Iterator[str]:
    """A numbered topic is several: `.1`, `.2` and so on."""
    if topic.numbered is None:
        yield name
    else:
        yield from (f"{name}.{number}" for number in range(1, topic.numbered + 1))


def _repeated(names: list[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "")


def _spec(
    path: Path, name: str, topic: _Topic, defaults: _Defaults, replication: int | None
) -> TopicSpec:
    copies = replication or topic.replication or defaults.replication
    in_sync = topic.in_sync_min or defaults.in_sync_min
    if replication is None and in_sync > copies:
        raise UsageError(f"{path}: topics.{name}: in_sync_min {in_sync} of {copies} copies")
    own = {
        "cleanup.policy": topic.cleanup or defaults.cleanup,
        "retention.ms": str(topic.retention),
        "max.message.bytes": str(topic.record_bytes_max),
        "min.insync.replicas": str(min(in_sync, copies)),
    }
    given = {**defaults.config, **topic.config}
    taken = sorted(own.keys() & given.keys())
    if taken:
        raise UsageError(f"{path}: topics.{name}.config: {taken[0]} has a key of its own")
    return TopicSpec(name, topic.about, topic.partitions, copies, {**own, **given})


def _grants(
    path: Path, users: Mapping[str, _User], named: Mapping[str, list[str]]
) -> Iterator[Grant]:
    for user, may in users.items():
        declared: tuple[tuple[TopicAccess, tuple[str, ...]], ...] = (
            ("read", may.reads),
            ("write", may.writes),
        )
        for operation, topics in declared:
            for topic in topics:
                if topic not in named:
                    raise UsageError(f"{path}: users.{user}: topic {topic} is not declared")
                for name in named[topic]:
                    yield Grant(user, operation, "topic", name, prefixed=False)
        for group in may.groups:
            yield Grant(user, "read", "group", group, prefixed=True)
        for prefix in may.transactional_ids:
            yield Grant(user, "write", "transactional_id", prefix, prefixed=True)
