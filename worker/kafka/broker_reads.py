"""How jobs that only look read a broker: its topics, and who is in a group."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from worker.config.settings import Settings
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_members import GroupState, group_state
from worker.kafka.topic_reader import TopicReader, open_topic_reader


class BrokerReads(NamedTuple):
    """What a running broker can be asked; the embedded one lacks some of it."""

    open_reader: Callable[[Settings], AbstractContextManager[TopicReader]]
    group_state: Callable[[KafkaConnection, str], GroupState]


RUNNING: Final = BrokerReads(open_topic_reader, group_state)
"""How a real broker is read."""
