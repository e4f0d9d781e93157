"""What was seen lately: names by the second they belong to, forgotten hour by hour."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

HOUR: Final = 3_600


class Recent:
    """A set whose members are forgotten by age; it keeps eight bytes of each."""

    def __init__(self) -> None:
        self._hours: dict[int, set[int]] = {}

    def add(self, name: str, second: int) -> None:
        """Remember a name. second: since 1970, that it belongs to."""
        self._hours.setdefault(second // HOUR, set()).add(_hash(name))

    def __contains__(self, name: str) -> bool:
        wanted = _hash(name)
        return any(wanted in names for names in self._hours.values())

    def __len__(self) -> int:
        return sum(map(len, self._hours.values()))

    def forget_before(self, second: int) -> None:
        """Forget what belongs to hours that were over by then."""
        for hour in [hour for hour in self._hours if (hour + 1) * HOUR <= second]:
            del self._hours[hour]


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(errors="replace"), digest_size=8).digest(), "little")
