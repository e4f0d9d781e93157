"""Ids of transfers, accounts, facts and records: the same for ever, on every machine.

No clock, random number or rulebook version is read. Every hash is BLAKE2b over length-prefixed
UTF-8 fields, read as a little-endian number.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final

FAMILY_KEY_BYTES: Final = 28
"""What an account's three user-data fields hold together: 16 + 8 + 4 bytes."""

KEY_BYTES_MAX: Final = 255
"""The most that a family key or a fact's value takes in an announcement, in UTF-8."""

TIME_SHIFT: Final = 80
"""The bits of a transfer's id below its time in milliseconds."""

OFFSET_BITS: Final = 40
OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1

_LEG_HASH: Final = blake2b(digest_size=10)
_TAG_HASH: Final = blake2b(digest_size=16)
"""Copied for each use: that costs less than a new one."""


def field(text: str) -> bytes:
    """One hashed field: its length in bytes as four little-endian bytes, then its UTF-8."""
    encoded = text.encode()
    return len(encoded).to_bytes(4, "little") + encoded


def fields(*texts: str) -> bytes:
    """Several hashed fields, one after the other."""
    return b"".join(map(field, texts))


def event_key(event_id: str) -> str:
    """The key of an event whose rule names no fact."""
    return f"event/{event_id}"


def fact_key(transaction: str, value: str | int) -> str:
    """The key of a fact that several events may tell (`idempotency_key`)."""
    return f"{transaction}/{value}"


def fact_tag(key: str) -> int:
    """`user_data_128`: finds every transfer of an event or fact. The key is not prefixed."""
    hashing = _TAG_HASH.copy()
    hashing.update(key.encode())
    return int.from_bytes(hashing.digest(), "little")


def leg_suffix(leg: str, index: str, part: str, attempt: int) -> bytes:
    """The hashed fields that tell one leg of a chain from the others.

    index: "" for a leg without `for_each`, else the item's position ("3", nested "3.0").
    part: "" for the leg itself, else the part of it ("account", "shortfall").
    """
    return fields(leg, index, part, str(attempt))


def transfer_id(*, time_ms: int, key_field: bytes, suffix: bytes) -> int:
    """48 bits of time over 80 bits of hash: ids in time order keep the ledger fast.

    key_field: `field(key)`, made once for a chain. suffix: from `leg_suffix`.
    """
    hashing = _LEG_HASH.copy()
    hashing.update(key_field + suffix)
    return int.from_bytes(hashing.digest() + time_ms.to_bytes(6, "little"), "little")


def account_id(*, ledger: int, name: str, key: str) -> int:
    """The id of a declared account, or of one member of a family, on one ledger."""
    hashed = blake2b(_declared(ledger, name) + field(key), digest_size=16).digest()
    return int.from_bytes(hashed, "little")


@lru_cache(maxsize=4096)
def _declared(ledger: int, name: str) -> bytes:
    """What is hashed for every member of a family."""
    return fields(str(ledger), name)


def position_base(*, group: str, topic: str, partition: int) -> int:
    """The upper 24 bits of a position; add the offset for the `user_data_64` of a record."""
    hashed = blake2b(fields(group, topic, str(partition)), digest_size=3).digest()
    return int.from_bytes(hashed, "little") << OFFSET_BITS


def account_user_data(key: str) -> tuple[int, int, int]:
    """The family key as an account's user data of 128, 64 and 32 bits.

    A key over 28 bytes is stored as a zero byte and its BLAKE2b-216.
    """
    encoded = key.encode()
    if len(encoded) > FAMILY_KEY_BYTES:
        encoded = b"\0" + blake2b(encoded, digest_size=FAMILY_KEY_BYTES - 1).digest()
    padded = encoded.ljust(FAMILY_KEY_BYTES, b"\0")
    return (
        int.from_bytes(padded[:16], "little"),
        int.from_bytes(padded[16:24], "little"),
        int.from_bytes(padded[24:], "little"),
    )


def account_key(user_data_128: int, user_data_64: int, user_data_32: int) -> str:
    """The family key that an account's user data holds; `#` and hex where it was too long."""
    packed = (
        user_data_128.to_bytes(16, "little")
        + user_data_64.to_bytes(8, "little")
        + user_data_32.to_bytes(4, "little")
    )
    if packed[0] == 0 and any(packed):
        return "#" + packed[1:].hex()
    return packed.rstrip(b"\0").decode()


def announced_key(key: str) -> str:
    """A family key as announcements have it: a very long one as its account holds it, `#` and hex.

    Every leg of a chain may name it: thousands of copies of half a megabyte are not announced.
    """
    if len(key) * 4 <= KEY_BYTES_MAX or len(key.encode()) <= KEY_BYTES_MAX:
        return key
    return account_key(*account_user_data(key))


def hex_id(number: int) -> str:
    """A 128-bit id as people and Redshift see it: 32 hex digits, most significant first."""
    return f"{number:032x}"
