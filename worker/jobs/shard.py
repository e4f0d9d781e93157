"""Jobs that share the partitions of topics: `--partitions 0/4` is the first of four."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from worker.core.errors import UsageError

_SHARD: Final = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)


class Shard(NamedTuple):
    """`--partitions 0/4`: the first of four jobs that share the partitions."""

    number: int
    of: int

    def takes(self, index: int) -> bool:
        """Is the partition at this index of the sorted list ours?"""
        return index % self.of == self.number


ALL: Final = Shard(0, 1)


def shard_of(text: str) -> Shard:
    """`0/4` as a Shard.

    Raises:
        UsageError: it is none.
    """
    found = _SHARD.fullmatch(text)
    if found is None or int(found[1]) >= int(found[2]):
        raise UsageError(f"--partitions {text!r} is no part: the first of four jobs is 0/4")
    return Shard(int(found[1]), int(found[2]))
