"""Who is in the group while nothing but the servers is hit: nobody leaves, and nobody is sent out.

The invariant: the group's coordinator is asked, never a worker.
"""

from __future__ import annotations

import time

from confluent_kafka import ConsumerGroupState, KafkaException

from tests.servers.groups import group_now

SETTLE_SECONDS_MAX = 300
LOOK_SECONDS = 0.2


class Membership:
    """The group's members, once each of its processes is one.

    keep_ids: a member id must outlive what comes. Where Kafka itself is away for longer than a
    session, a process is let in again under another one: there each must be a member again.
    """

    def __init__(
        self, bootstrap_servers: str, group: str, *, processes: int, keep_ids: bool
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._group = group
        self._processes = processes
        self._keep_ids = keep_ids
        self._before = self._complete()

    def holds(self) -> None:
        """It still is as it was. Raises AssertionError where somebody left or was sent out."""
        now = self._complete()
        if self._keep_ids:
            assert now == self._before, f"members changed: {self._before} before, {now} now"

    def _complete(self) -> frozenset[str]:
        """The member ids when all are in, and none too many."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            found = self._members()
            if len(found) == self._processes:
                return found
            told = f"{len(found)} members of {self._processes} processes"
            assert time.monotonic() < deadline, told
            time.sleep(LOOK_SECONDS)

    def _members(self) -> frozenset[str]:
        """None while the group is being put together, or cannot be asked."""
        try:
            found = group_now(self._bootstrap_servers, self._group)
        except (KafkaException, TimeoutError):  # its coordinator is away or moves
            return frozenset()
        stable = found.state == ConsumerGroupState.STABLE
        return frozenset(one.member_id for one in found.members) if stable else frozenset()
