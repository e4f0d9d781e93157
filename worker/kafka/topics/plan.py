"""The steps from a broker's topics and grants to the declared ones.

A plan deletes nothing; what would lose records or weaken their safety is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from worker.core.plural import count_of
from worker.kafka.topics.declared import FOREVER, Grant, TopicsFile, TopicSpec

KEPT_BY: Final = frozenset({"retention.ms", "retention.bytes"})
"""A smaller one deletes records at once; -1 is without end."""


class BrokerTopic(NamedTuple):
    """One topic as the broker has it."""

    partitions: int
    replication: int
    config: Mapping[str, str]


class Repartition(NamedTuple):
    """More partitions for a topic."""

    topic: str
    before: int
    after: int


class Configure(NamedTuple):
    """Another value of one of a topic's settings."""

    topic: str
    key: str
    before: str
    after: str


class RefusedChange(NamedTuple):
    """A difference that `apply` leaves alone, and why."""

    topic: str
    why: str


@dataclass(frozen=True, slots=True)
class TopicsPlan:
    """Every difference.

    acls_compared: False when the grants were not looked at.
    """

    create: tuple[TopicSpec, ...]
    repartition: tuple[Repartition, ...]
    configure: tuple[Configure, ...]
    grant: tuple[Grant, ...]
    refused: tuple[RefusedChange, ...]
    acls_compared: bool

    @property
    def differs(self) -> bool:
        """Is the broker any other than declared?"""
        return bool(self.create or self.repartition or self.configure or self.grant or self.refused)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Each difference as a word and a sentence."""
        yield from (("create", _creation(topic)) for topic in self.create)
        for more in self.repartition:
            change = f"topic {more.topic}: {more.before} → {more.after} partitions"
            yield "update", f"{change}; a key's new records may go elsewhere than its old ones"
        for set_to in self.configure:
            yield "update", f"topic {set_to.topic}: {set_to.key} {set_to.before} → {set_to.after}"
        yield from (("grant", sentence(grant)) for grant in self.grant)
        yield from (
            ("refused", f"topic {refusal.topic}: {refusal.why}") for refusal in self.refused
        )


def _creation(topic: TopicSpec) -> str:
    settings = ", ".join(f"{key}={value}" for key, value in sorted(topic.config.items()))
    shape = f"{count_of(topic.partitions, 'partition')}, {count_of(topic.replication, 'replica')}"
    return f"topic {topic.name}: {shape}; {settings}"


def sentence(grant: Grant) -> str:
    """A grant in words."""
    kind = grant.resource.replace("_", " ")
    named = f"{kind}s that begin with {grant.name}" if grant.prefixed else f"{kind} {grant.name}"
    return f"User:{grant.user} may {grant.operation} {named}"


def plan_topics(
    declared: TopicsFile, found: Mapping[str, BrokerTopic], granted: Collection[Grant] | None
) -> TopicsPlan:
    """Compare what is declared with what a broker has.

    Args:
        declared: the file.
        found: the declared topics that exist; others are none of our business.
        granted: the grants that the declared users have; None when the broker keeps none.
    """
    create, repartition, configure, refused = [], [], [], []
    for topic in declared.topics:
        there = found.get(topic.name)
        if there is None:
            create.append(topic)
            continue
        refused += [RefusedChange(topic.name, why) for why in _shape_refusals(topic, there)]
        if topic.partitions > there.partitions:
            repartition.append(Repartition(topic.name, there.partitions, topic.partitions))
        for key, after in topic.config.items():
            before = there.config.get(key, "")
            if before == after:
                continue
            why = _config_refusal(key, before, after)
            if why:
                refused.append(RefusedChange(topic.name, why))
            else:
                configure.append(Configure(topic.name, key, before, after))
    return TopicsPlan(
        create=tuple(create),
        repartition=tuple(repartition),
        configure=tuple(configure),
        grant=tuple(each for each in declared.grants if each not in granted)
        if granted is not None
        else (),
        refused=tuple(refused),
        acls_compared=granted is not None,
    )


def _shape_refusals(topic: TopicSpec, there: BrokerTopic) -> Iterator[str]:
    if topic.partitions < there.partitions:
        yield (
            f"{there.partitions} partitions cannot become {topic.partitions}:"
            " that would delete records"
        )
    if topic.replication != there.replication:
        yield (
            f"{there.replication} replicas, {topic.replication} declared:"
            " move them with kafka-reassign-partitions"
        )


def _config_refusal(key: str, before: str, after: str) -> str:
    """Why a setting may not be changed so; empty when it may."""
    change = f"{key} {before} → {after}"
    if key in KEPT_BY and _kept(after) < _kept(before):
        return f"{change} would delete records"
    if key == "cleanup.policy" and "compact" in after and "compact" not in before:
        return f"{change} would delete all but a key's last record"
    if key == "cleanup.policy" and "delete" in after and "delete" not in before:
        return f"{change} would delete old records"
    if key == "min.insync.replicas" and _number(after) < _number(before):
        return f"{change} would let a record be lost with fewer brokers"
    if key == "unclean.leader.election.enable" and after == "true":
        return f"{change} would let records be lost"
    return ""


def _kept(value: str) -> float:
    number = _number(value)
    return float("inf") if number == FOREVER else number


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        return 0
