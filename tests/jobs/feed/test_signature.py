"""A delivery is Stripe's or it is refused; compared with Stripe's own package."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from worker.jobs.feed.signature import SIGNATURES_MAX, Refusal, refusal, sign

BODY = b'{"id": "evt_1", "type": "charge.succeeded"}'
OLD, NEW = "whsec_old", "whsec_new"
NOW = 1_800_000_000


def verdict(
    body: bytes = BODY, header: str | None = None, *secrets: str, seconds: int = NOW
) -> Refusal | None:
    header = sign(BODY, secret=OLD, seconds=NOW) if header is None else header
    return refusal(body, header, secrets=secrets or (OLD,), now=seconds, tolerance_seconds=300)


def part(secret: str) -> str:
    return sign(BODY, secret=secret, seconds=NOW).partition(",")[2]


SIGNED = sign(BODY, secret=OLD, seconds=NOW)

HEADERS = [
    (SIGNED,                                         None),
    (f"t={NOW},{part(NEW)},{part(OLD)}",             None),
    (f"{part(OLD)},v0=abc,t={NOW}",                  None),
    (f" t={NOW}, {part(OLD)}",                       None),
    ("",                                             Refusal.MISSING),
    ("t",                                            Refusal.MALFORMED),
    (f"t={NOW}",                                     Refusal.MALFORMED),
    (part(OLD),                                      Refusal.MALFORMED),
    (f"t=,{part(OLD)}",                              Refusal.MALFORMED),
    (f"t=-1,{part(OLD)}",                            Refusal.MALFORMED),
    (f"t={NOW}.0,{part(OLD)}",                       Refusal.MALFORMED),
    (f"t=²,{part(OLD)}",                             Refusal.MALFORMED),
    (f"t={'9' * 13},{part(OLD)}",                    Refusal.MALFORMED),
    (f"t={NOW},t={NOW},{part(OLD)}",                 Refusal.MALFORMED),
    (f"t={NOW + 1},{part(OLD)}",                     Refusal.WRONG),
    (f"t={NOW},{part(NEW)}",                         Refusal.WRONG),
    (f"t={NOW},v1=",                                 Refusal.WRONG),
    (f"t={NOW},v1=é",                                Refusal.WRONG),
    (f"t={NOW}," + "v1=0," * SIGNATURES_MAX + part(OLD), Refusal.WRONG),
]  # fmt: skip


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_headers(header: str, expected: Refusal | None) -> None:
    """A time and one good signature among a few; whatever else is a refusal with its reason."""
    assert verdict(BODY, header) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(NOW + 300, None), (NOW + 301, Refusal.TOO_OLD), (NOW - 86_400, None)],
)
def test_tolerance(seconds: int, expected: Refusal | None) -> None:
    """Old signatures are refused; one of tomorrow is signed all the same: a clock is wrong."""
    assert verdict(seconds=seconds) == expected


def test_rolled_secrets() -> None:
    """While a secret is rolled both are good, and no other is."""
    assert verdict(BODY, SIGNED, NEW, OLD) is None
    assert verdict(BODY, SIGNED, NEW, "whsec_other") is Refusal.WRONG


def test_each_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every signature with that of every secret, by the one call that takes as long for any."""
    compared: list[bool] = []

    def counted(one: bytes, other: bytes, compare: Any = hmac.compare_digest) -> bool:
        compared.append(compare(one, other))
        return compared[-1]

    monkeypatch.setattr(hmac, "compare_digest", counted)
    header = f"t={NOW},{part(OLD)},{part('whsec_a')},{part('whsec_b')}"
    assert verdict(BODY, header, OLD, NEW) is None
    assert compared == [True, False, False, False, False, False]


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
def test_one_changed_byte_is_noticed(body: bytes, at: int, change: int) -> None:
    """The raw bytes are signed: not what they mean as JSON or as text."""
    header = sign(body, secret=OLD, seconds=NOW)
    assert verdict(body, header) is None
    changed = bytearray(body or b"\0")
    changed[at % len(changed)] ^= change
    assert verdict(bytes(changed), header) is Refusal.WRONG


@given(st.text(max_size=100))
def test_stripe_signs_the_same(text: str) -> None:
    """What Stripe's own package makes of a payload is taken, and it takes what is made here."""
    body = text.encode(errors="replace")
    signed = stripe.WebhookSignature._compute_signature(f"{NOW}.{body.decode()}", OLD)
    assert verdict(body, f"t={NOW},v1={signed}") is None
    header = sign(body, secret=OLD, seconds=NOW)
    assert stripe.WebhookSignature.verify_header(body.decode(), header, OLD, None)
