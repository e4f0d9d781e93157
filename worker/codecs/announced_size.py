"""How large a chain's announcements can be: what cannot be announced is not posted.

The invariant: no outbox record is larger than is said here, in either format.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.core.chain import AccountRef, Chain, Leg
from worker.core.ids import KEY_BYTES_MAX
from worker.core.rulebook import Rulebook

CHAIN_BYTES_MAX: Final = 64 * 1024 * 1024
"""What the announcements of one chain may take together: half of what the producer queues, so that
one transaction holds them."""

FIXED_BYTES: Final = 3000
"""An outbox record without its texts, and its headers: field names, ids, times, numbers."""

TOPIC_BYTES: Final = 249
"""Kafka's longest name of a topic."""

ESCAPED_BYTES: Final = 6
"""What one byte of a text takes in JSON at worst: a control character is `\\u001f`."""

_TEXTS: Final = 5
"""Event id, type, fact and two family keys: what an event chooses itself."""


class AnnouncedSize:
    """Bounds the announcements of chains under one rulebook.

    record_bytes_max: what the outbox and the topic of rejections take.
    chain_bytes_max: what one chain's announcements may take together.
    """

    def __init__(
        self, rulebook: Rulebook, *, record_bytes_max: int, chain_bytes_max: int = CHAIN_BYTES_MAX
    ) -> None:
        self._record_bytes_max = record_bytes_max
        self._chain_bytes_max = chain_bytes_max
        rules = rulebook.transactions
        names = 3 * _longest(rule.name for rule in rules) + 2 * _longest(rulebook.accounts)
        legs = _longest(leg.name for rule in rules for leg in rule.legs)
        self._names = ESCAPED_BYTES * (names + legs + TOPIC_BYTES) + FIXED_BYTES
        self._leg_bytes_max = self._names + (_TEXTS * ESCAPED_BYTES + 1) * KEY_BYTES_MAX
        """The largest record that an event can ask for, whatever its texts are."""

    def problem(self, chain: Chain) -> str:
        """Why the chain could not be announced; empty when it can. Mostly its legs decide."""
        legs = len(chain.legs)
        if (
            self._leg_bytes_max <= self._record_bytes_max
            and legs * self._leg_bytes_max <= self._chain_bytes_max
        ):
            return ""
        shared = self._shared(chain)
        sizes = [shared + _keys(leg) for leg in chain.legs]
        if max(sizes) > self._record_bytes_max:
            return (
                f"an announcement of it may take {max(sizes)} bytes, and the topics take"
                f" {self._record_bytes_max}"
            )
        if sum(sizes) > self._chain_bytes_max:
            return (
                f"the announcements of its {legs} legs may take {sum(sizes)} bytes, and one"
                f" transaction takes {self._chain_bytes_max}"
            )
        return ""

    def _shared(self, chain: Chain) -> int:
        event = chain.event
        texts = len(event.id.encode()) + len(event.type.encode()) + len(chain.key.encode())
        return self._names + ESCAPED_BYTES * texts + len(event.id.encode())


def _keys(leg: Leg) -> int:
    return ESCAPED_BYTES * (_key(leg.debit) + _key(leg.credit))


def _key(account: AccountRef | None) -> int:
    """An account that is found in the ledger first has a key of unknown size."""
    if account is None or account.id < 0:
        return KEY_BYTES_MAX
    return min(len(account.key.encode()), KEY_BYTES_MAX)


def _longest(names: Iterable[str]) -> int:
    return max((len(name.encode()) for name in names), default=0)
