"""What `explain` found, as lines for people; the JSON says the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from worker.core.plural import count_of
from worker.core.wire import TransferFlags

AT_MOST: Final = {
    TransferFlags.BALANCING_DEBIT: "the credits less debits of the debited account",
    TransferFlags.BALANCING_CREDIT: "the debits less credits of the credited account",
}
CLOSES: Final = {
    TransferFlags.CLOSING_DEBIT: "closes the debited account",
    TransferFlags.CLOSING_CREDIT: "closes the credited account",
}


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The whole answer."""
    if "event" in found:
        event = found["event"]
        yield f"event {event['id']}, {event['type']}, {event['created']}, on {found['role'] or '?'}"
        for rule in found["rules"]:
            yield f"  {rule['transaction']}: {rule['verdict']}"
        others = found["transactions"] - len(found["rules"])
        if others:
            yield f"  {count_of(others, 'other transaction')} for other types"
    yield from _outcome(found)


def _outcome(found: dict[str, Any]) -> Iterator[str]:
    if found["outcome"] == "dead":
        yield f"dead letter, {found['reason']}: {found['detail']}"
        if found.get("fits"):
            yield f"  it would fit this entry of its topic in the rulebook: {found['fits']}"
    elif found["outcome"] == "ignored":
        yield f"ignored, by the entry {found['ignored_by']}"
    elif found["outcome"] != "posts":
        yield "nothing to post: every leg falls away"
    else:
        yield from _chain(found)


def _chain(found: dict[str, Any]) -> Iterator[str]:
    many = count_of(len(found["legs"]), "transfer")
    yield f"posts {found['transaction']}, key {found['key']}, {many}"
    if found.get("in_ledger"):
        yield f"  {count_of(found['in_ledger'], 'transfer')} with these ids in the ledger already"
    for name, group in groupby(found["waits_for"], key=lambda need: need["as"]):
        needs = list(group)
        words = "if it is there" if needs[0]["optional"] else "which must be there"
        words += ", or there is nothing to post" if needs[0]["or_nothing"] else ""
        either = " or ".join(f"{need['transaction']} {need['user_data_128']}" for need in needs)
        yield f"  {name} {either}, {words}"
    if found["if_closed"]:
        yield f"  should an account be closed: by way of {' or '.join(found['if_closed'])}"
    if found["alert"]:
        yield f"  with an alert: {found['alert']}"
    for leg in found["legs"]:
        yield from _leg(leg)


def _leg(leg: dict[str, Any]) -> Iterator[str]:
    kind = "" if leg["kind"] == "posted" else f" ({leg['kind']})"
    yield f"  {leg['number']}. {leg['leg']}{kind}: {', '.join(_leg_words(leg))}"
    for side in ("debit", "credit"):
        if leg[side]:
            key = f"[{leg[side]['key']}]" if leg[side]["key"] else ""
            yield f"     {side:<6} {leg[side]['name']}{key}  {leg[side]['id']}".rstrip()
            if "balance" in leg[side]:
                yield f"            {_balance(leg[side]['balance'], leg['currency'])}"
    yield f"     id     {leg['id']}"
    if leg["pending_ids"]:
        yield f"     of     {leg['reserved_by']}  {leg['pending_ids'][0]} (or a later attempt)"


def _leg_words(leg: dict[str, Any]) -> Iterator[str]:
    most = [words for flag, words in AT_MOST.items() if leg["flags"] & flag]
    yield f"{'up to ' if most else ''}{leg['major_amount']}"
    yield from most
    yield f"code {leg['code']}" if leg["code"] else "code as reserved"
    if leg["timeout"]:
        yield f"for {leg['timeout']} s"
    yield from (words for flag, words in CLOSES.items() if leg["flags"] & flag)


def _balance(account: dict[str, str] | None, currency: str) -> str:
    if account is None:
        return "not there yet: made on first use"
    reserved = [
        f", {account[f'pending_{side}']} pending {side}"
        for side in ("debits", "credits")
        if account[f"pending_{side}"].strip("0.")
    ]
    return f"holds {account['posted']} {currency.upper()}{''.join(reserved)}"
