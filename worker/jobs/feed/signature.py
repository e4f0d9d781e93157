"""Stripe's signature of a webhook: HMAC-SHA256 over the time and the raw bytes.

The header reads `t=SECONDS,v1=HEX,v1=HEX`; while a secret is rolled, Stripe signs with the old one
and the new one. Source: Stripe's documentation, "Receive Stripe events", and its own package.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Final

SIGNATURES_MAX: Final = 16
"""Signatures of one header that are compared; Stripe sends one for each active secret."""

DIGITS_MAX: Final = 12
"""Of a time in seconds."""


class Refusal(StrEnum):
    """Why a delivery is not taken for Stripe's."""

    MISSING = "missing"
    MALFORMED = "malformed"
    WRONG = "wrong"
    TOO_OLD = "too_old"


def sign(body: bytes, *, secret: str, seconds: int) -> str:
    """The header that Stripe sends with these bytes. seconds: since 1970."""
    return f"t={seconds},v1={_digest(body, secret=secret, time=str(seconds))}"


def refusal(
    body: bytes, header: str, *, secrets: Sequence[str], now: float, tolerance_seconds: float
) -> Refusal | None:
    """Why these bytes are refused; None when one of the secrets has signed them lately.

    Every secret is compared with every signature, each in constant time, so that nothing shows
    which of them was near. now: seconds since 1970.
    """
    if not header:
        return Refusal.MISSING
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    given = [value for name, _, value in parts if name == "v1"][:SIGNATURES_MAX]
    if len(times) != 1 or not _is_time(times[0]) or not given:
        return Refusal.MALFORMED
    signed = False
    for secret in secrets:
        expected = _digest(body, secret=secret, time=times[0]).encode()
        for signature in given:
            signed |= hmac.compare_digest(expected, signature.encode())
    if not signed:
        return Refusal.WRONG
    return Refusal.TOO_OLD if int(times[0]) < now - tolerance_seconds else None


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX


def _digest(body: bytes, *, secret: str, time: str) -> str:
    return hmac.new(secret.encode(), time.encode() + b"." + body, sha256).hexdigest()
