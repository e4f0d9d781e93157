"""Hostile records: anything that a producer can write, and some events that are in order.

The same seed gives the same records. Sizes are small but for one in `LARGE_EVERY`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from worker.codecs.avro import encode_event
from worker.codecs.dead_letters import BLOCK

CREATED = 1_760_000_000
LARGE_EVERY = 2_000
LARGE_BYTES = 980_000
NOW_MS = 1_760_000_000_000

ROLES = ("payments", "settlements", "commands", "treasury")
ROLE_OF = {b"wallet.": "commands", b"balance_tr": "settlements", b"charge.": "payments"}
"""By what is in an event's type."""

HeaderBytes = list[tuple[bytes, bytes | None]]


class HostileRecord(NamedTuple):
    """One record to write. timestamp_ms: 0 means now."""

    role: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: HeaderBytes

    @property
    def unreadable(self) -> bool:
        """Has it a header whose name is not UTF-8, up to its first NUL?"""
        return any(not _is_utf8(name.partition(b"\0")[0]) for name, _ in self.headers)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def hostile_records(
    seed: int, count: int, *, large: bool = True, future: bool = True
) -> Iterator[HostileRecord]:
    """So many of them. future: with times that brokers refuse unless their topic takes them."""
    rng = random.Random(seed)
    for number in range(count):
        value = _value(rng, f"{seed}_{number}")
        if large and rng.randrange(LARGE_EVERY) == 0:
            value = _large(rng, f"{seed}_{number}")
        role = _role(rng, value or b"")
        yield HostileRecord(role, _key(rng), value, _time(rng, future=future), _headers(rng))


def _role(rng: random.Random, value: bytes) -> str:
    """Mostly one whose topic may carry the event."""
    fitting = [role for begin, role in ROLE_OF.items() if begin in value]
    return fitting[0] if fitting and rng.randrange(10) else rng.choice(ROLES)


# Keys, times, headers


def _key(rng: random.Random) -> bytes | None:
    return rng.choice(
        (None, b"", b"cus_1", rng.randbytes(rng.randint(1, 60)), b"\x1b]0;owned\x07", b"k" * 5000)
    )


def _time(rng: random.Random, *, future: bool) -> int:
    times = [0, 0, 1, NOW_MS, -5, -(10**13)]
    return rng.choice([*times, 4_000_000_000_000, 9 * 10**13] if future else times)


def _headers(rng: random.Random) -> HeaderBytes:  # noqa: PLR0911 - a kind a line
    match rng.randrange(12):
        case 0:
            return [(rng.randbytes(rng.randint(0, 12)), rng.randbytes(4)) for _ in range(3)]
        case 1:
            return [(b"\xff\xfe", None), (b"ok", b"1"), (b"\xed\xa0\x80", b"2")]
        case 2:
            return [(b"a\0b", b"1"), (b"", None), (b"\x1b[31m", b"\x07")]
        case 3:
            return [(b"traceparent", rng.choice((b"00-" + b"0" * 5000, None, b"\xff")))]
        case 4:
            return [
                (b"ledger_worker.attempt", rng.choice((b"1", b"7", b"8", b"-1", b"\xff", None)))
            ]
        case 5:  # a forged block: where a record was, and what it died of
            texts = (b"x", b"99999999999999999999", b"-1", b"\xff", None)
            return [(name.encode(), rng.choice(texts)) for name in BLOCK]
        case 6:
            return [(b"ledger_worker.left_out", b"headers"), (b"ledger_worker.role", b"treasury")]
        case 7 if rng.randrange(20) == 0:
            return [(b"h%d" % number, b"v" * 20) for number in range(1500)]
        case _:
            return []


# Values


def _value(rng: random.Random, number: str) -> bytes | None:
    return rng.choice(VALUES)(rng, number)


def _nothing(_rng: random.Random, _number: str) -> bytes | None:
    return None


def _noise(rng: random.Random, _number: str) -> bytes:
    return rng.randbytes(rng.randint(0, 200))


def _fragment(rng: random.Random, _number: str) -> bytes:
    return rng.choice(
        (
            b"",
            b"{",
            b"{}",
            b"  {}",
            b"[]",
            b"null",
            b'{"id": NaN}',
            b'\xef\xbb\xbf{"id":"a"}',
            b'{"id":"\\ud800","type":"charge.succeeded","created":1,"data":{"object":{}}}',
            b'{"id":"a","id":"b","type":"t","created":1e3,"data":{"object":{}}}',
            b'{"a":' * 2000 + b"1" + b"}" * 2000,
            b'{"id":' + b"9" * 5000 + b"}",
            b"\0\0\0\0\1",
            b"\0\xff\xff\xff\xff" + b"\x80" * 40,
        )
    )


def _event(rng: random.Random, number: str) -> bytes:
    """An event, mostly in order; some fields are anything."""
    kind, content = rng.choice(EVENTS)(rng, number)
    envelope: dict[str, Any] = {
        "id": f"evt_{number}",
        "type": kind,
        "created": CREATED,
        "livemode": False,
        "data": {"object": content},
    }
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        where = rng.choice((envelope, content, content))
        name, spoiled = rng.choice(list(where) or ["id"]), rng.choice(ANYTHING)
        # Two events of one id and other legs are two chains under one tag, and no partial ones.
        own = name == "id" and isinstance(spoiled, str) and spoiled
        where[name] = f"{spoiled}{number}" if own else spoiled
        if name == "id" and type(spoiled) is int:
            where[name] = -int(number.replace("_", ""))
    return json.dumps(envelope).encode()


def _avro(rng: random.Random, number: str) -> bytes:
    """A framed event, whole or with bytes changed, cut or added."""
    _, content = _charge(rng, number)
    envelope = {"id": f"evt_{number}", "type": "charge.succeeded", "created": CREATED}
    framed = bytearray(
        encode_event({**envelope, "livemode": False, "data": {"object": content}},
                     "stripe_payment_event", 1)
    )  # fmt: skip
    match rng.randrange(4):
        case 0:
            framed[rng.randrange(len(framed))] = rng.randrange(256)
        case 1:
            del framed[rng.randrange(len(framed)) :]
        case 2:
            framed += rng.randbytes(3)
    return bytes(framed)


def _large(rng: random.Random, number: str) -> bytes:
    """An event with very many small objects beside it, or one very long text."""
    event = _event(rng, number)
    room = LARGE_BYTES - len(event)
    item = rng.choice((b'{"":0}', b"{}", b"[]", b"0.5", b'"\\u0001"'))
    junk = b"[" + b",".join([item] * (room // (len(item) + 1))) + b"]"
    if rng.randrange(3) == 0:
        junk = b'"' + b"x" * room + b'"'
    return event[:-1] + b', "junk": ' + junk + b"}"


def _charge(rng: random.Random, number: str) -> tuple[str, dict[str, Any]]:
    amount = rng.randint(1, 10_000)
    return "charge.succeeded", {
        "id": f"ch_{number}",
        "amount": amount,
        "amount_captured": amount,
        "paid": True,
        "captured": True,
        "currency": "usd",
        "customer": f"cus_{rng.randrange(50)}",
        "created": CREATED,
    }


def _p2p(rng: random.Random, number: str) -> tuple[str, dict[str, Any]]:
    who = {"from": f"cus_{rng.randrange(50)}", "to": f"cus_{rng.randrange(50)}"}
    return "wallet.p2p", {"id": f"p_{number}", "amount": 5, "currency": "usd", **who}


def _split(rng: random.Random, number: str) -> tuple[str, dict[str, Any]]:
    people = rng.choice((1, 3, 200))
    shares = [{"customer": f"cus_{who}", "amount": 1} for who in range(people)]
    content = {"id": f"sp_{number}", "payer": "cus_payer", "currency": "usd", "shares": shares}
    return "wallet.split_bill", content


def _settled(rng: random.Random, number: str) -> tuple[str, dict[str, Any]]:
    amount, fee = rng.randint(-5000, 5000), rng.randint(-50, 50)
    return "balance_transaction.created", {
        "id": f"txn_{number}",
        "amount": amount,
        "fee": fee,
        "net": amount - fee,
        "currency": "usd",
        "created": CREATED,
        "reporting_category": rng.choice(("charge", "refund", "fee", "something_new", "payout")),
        "type": rng.choice(("charge", "refund", "stripe_fee", "payout")),
        "source": f"ch_{number}",
        "fee_details": [],
    }


def _unknown(rng: random.Random, _number: str) -> tuple[str, dict[str, Any]]:
    return rng.choice(("customer.created", "charge.teleported", "\x1b[2J", "x" * 300)), {}


EVENTS: tuple[Callable[[random.Random, str], tuple[str, dict[str, Any]]], ...] = (
    _charge, _charge, _p2p, _split, _settled, _unknown,
)  # fmt: skip

VALUES: tuple[Callable[[random.Random, str], bytes | None], ...] = (
    _event, _event, _event, _event, _avro, _fragment, _noise, _nothing,
)  # fmt: skip

ANYTHING: tuple[Any, ...] = (
    None, True, "", "a\0b", "\x1b]0;owned\x07", "=cmd()", "\ud800", "x" * 300, "x" * 5000,
    0, -1, 1.5, 2**63, 2**128, -(2**200), [], {}, [[]] * 50, {"": {"": {}}}, "usd", "zzz",
    253_402_300_800, "cus_1", "evt_1",
)  # fmt: skip
