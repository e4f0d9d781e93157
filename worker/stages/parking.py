"""Partitions sleep until their next record is due, or its schema may be known."""

from __future__ import annotations

from typing import Final

from worker.core.ports import TopicPartition

NAP_MS: Final = 250
"""The least that a partition sleeps before its next parked record is due: waking costs a fetch."""


class ParkedPartitions:
    """Those that sleep, and until when: milliseconds since 1970."""

    def __init__(self) -> None:
        self._wake_ms: dict[TopicPartition, int] = {}

    def sleep(self, partition: TopicPartition, wake_ms: int) -> None:
        """Nothing of it is taken until then."""
        self._wake_ms[partition] = wake_ms

    def sleeps(self, partition: TopicPartition) -> bool:
        """Is its next record not due yet?"""
        return partition in self._wake_ms

    def asleep(self) -> list[TopicPartition]:
        """All that sleep."""
        return list(self._wake_ms)

    def wake(self, now_ms: int) -> list[TopicPartition]:
        """Those that have slept long enough; they sleep no more."""
        woken = [each for each, wake_ms in self._wake_ms.items() if wake_ms <= now_ms]
        for partition in woken:
            del self._wake_ms[partition]
        return woken

    def forget(self, partition: TopicPartition) -> None:
        """It is another's now, or opens anew."""
        self._wake_ms.pop(partition, None)


def wake_ms(*, due_ms: int, now_ms: int, delay_ms: int) -> int:
    """When to wake for a record that is due then.

    A clock that was ahead when the record was parked must not make it wait for years.
    """
    return max(min(due_ms, now_ms + delay_ms), now_ms + NAP_MS)
