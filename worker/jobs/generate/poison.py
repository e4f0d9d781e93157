"""Poison: records that can never be posted, of each kind in rotation.

Each is a dead letter (docs/runbooks/events.md); its note names the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from worker.jobs.generate.commands import command
from worker.jobs.generate.payments import new_charge, payment
from worker.jobs.generate.scene import COMMANDS, PAYMENTS, Generated, Scene

NOTE: Final = "poison: "
INT64_LIMIT: Final = 1 << 63
UNKNOWN_SCHEMA_ID: Final = 2_147_483_647


def poison(scene: Scene, number: int) -> Generated:
    """The next kind. number: how many came before."""
    reason, make = KINDS[number % len(KINDS)]
    return make(scene)._replace(note=NOTE + reason)


def _charge(scene: Scene, changes: dict[str, Any], *, kind: str = "charge.succeeded") -> Generated:
    charge = new_charge(scene, captured=True) | changes
    return payment(scene, kind, charge, "")


def _noise(scene: Scene) -> Generated:
    noise = b"\xff" + scene.chance.token_bytes(scene.chance.between(8, 64))
    return Generated(PAYMENTS, b"noise", noise, "")


def _unknown_schema(scene: Scene) -> Generated:
    framed = b"\0" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + scene.chance.token_bytes(24)
    return Generated(PAYMENTS, b"noise", framed, "")


def _cut_short(scene: Scene) -> Generated:
    whole = _charge(scene, {})
    text = orjson.dumps(whole.event)
    return whole._replace(event=text[: len(text) // 2])


def _no_amount(scene: Scene) -> Generated:
    made = _charge(scene, {})
    if isinstance(made.event, dict):
        del made.event["data"]["object"]["amount"]
    return made


def _thin(scene: Scene) -> Generated:
    made = _charge(scene, {})
    if isinstance(made.event, dict):
        about = made.event.pop("data")["object"]
        made.event["related_object"] = {"id": about["id"], "type": "charge"}
    return made


def _to_oneself(scene: Scene) -> Generated:
    customer = scene.wallets.payer("usd")
    about = {
        "id": scene.chance.new_id("p2p"),
        "from": customer,
        "to": customer,
        "amount": 100,
        "currency": "usd",
    }
    return command(scene, "wallet.p2p", about, key=customer, note="")


KINDS: Final[tuple[tuple[str, Callable[[Scene], Generated]], ...]] = (
    ("undecodable", _noise),
    ("missing_field", _no_amount),
    ("unknown_currency", lambda scene: _charge(scene, {"currency": "zzz"})),
    ("bad_amount", lambda scene: _charge(scene, {"amount": -500})),
    ("thin_event", _thin),
    ("no_rule", lambda scene: _charge(scene, {}, kind="charge.teleported")),
    ("bad_amount", lambda scene: _charge(scene, {"amount": True})),
    ("same_account", _to_oneself),
    ("wrong_topic", lambda scene: _charge(scene, {})._replace(role=COMMANDS)),
    ("undecodable", _cut_short),
    ("bad_amount", lambda scene: _charge(scene, {"amount": 12.5})),
    ("unknown_schema", _unknown_schema),
    ("bad_amount", lambda scene: _charge(scene, {"amount": INT64_LIMIT})),
    ("bad_key", lambda scene: _charge(scene, {"customer": ""})),
)
"""The reason it dies of, and how to make one."""
