"""What Stripe's objects say, as the events that its webhooks would have brought.

An event made here has an id of its own, the same whenever it is made; the fact in it is the
webhook's, because the rulebook keys facts by Stripe's objects. Lists inside an object are cut to
what the one event tells: a dispute's balance transactions end with the one that settled, and a
reversal stands alone in its transfer's list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

SETTLED: Final = "balance_transaction.created"

StripeObject = Mapping[str, Any]
Body = dict[str, Any]


class Origin(NamedTuple):
    """Who reads: what its events say of themselves.

    api_version: of the answers that they are made of. livemode: of the key; None where it does not
    say. account: the connected account whose books these are; empty for the platform's own.
    """

    api_version: str
    livemode: bool | None = None
    account: str = ""

    def event(self, name: str, kind: str, created: int, about: StripeObject) -> Body:
        """An envelope. created: whole seconds since 1970."""
        body: Body = {
            "id": name,
            "object": "event",
            "api_version": self.api_version,
            "created": created,
            "data": {"object": about},
            "type": kind,
        }
        if self.livemode is not None:
            body["livemode"] = self.livemode
        return self.named(body)

    def named(self, body: Body) -> Body:
        """An event that says whose it is, where these are not the platform's own books."""
        return {**body, "account": self.account} if self.account else body


class ListedEvent(NamedTuple):
    """An event's type and its object. part: what else names the fact, empty where the object does.

    created: whole seconds since 1970.
    """

    kind: str
    about: StripeObject
    created: int
    part: str = ""


def settlement_event(settled: StripeObject, origin: Origin) -> Body:
    """A balance transaction as the event that Stripe has no webhook for."""
    return origin.event(f"bt/{settled['id']}", SETTLED, settled["created"], settled)


def payment_event(settled: StripeObject, origin: Origin) -> Body | None:
    """The payment event that a balance transaction with its expanded source tells.

    None where no payment event tells it, or its source does not say enough.
    """
    read = _BY_CATEGORY.get(str(settled.get("reporting_category")))
    found = read(settled, _source(settled)) if read else None
    if found is None:
        return None
    kind, about = found
    return origin.event(f"heal/{settled['id']}", kind, settled["created"], about)


def list_events(about: StripeObject, origin: Origin) -> Iterator[Body]:
    """Everything that an object of one of Stripe's lists tells, as it is today."""
    if about["object"] == "balance_transaction":
        cash = _cash_moved(about, _source(about))
        if cash is not None:
            kind, moved = cash
            yield origin.event(f"list/{kind}/{moved['id']}", kind, about["created"], moved)
        yield settlement_event(about, origin)
        return
    for listed in _BY_LIST[about["object"]](about):
        name = "/".join(filter(None, ("list", listed.kind, about["id"], listed.part)))
        yield origin.event(name, listed.kind, listed.created, listed.about)


def _source(settled: StripeObject) -> StripeObject:
    """What it settles; empty where that is not expanded."""
    source = settled.get("source")
    return source if isinstance(source, dict) else {}


# From a balance transaction

_Found = tuple[str, StripeObject] | None


def _charge(settled: StripeObject, source: StripeObject) -> _Found:
    """A charge captured in several parts is known from its webhooks alone: it has only a total."""
    if source.get("object") != "charge" or not source.get("paid"):
        return None
    whole = source.get("amount"), source.get("amount_captured", source.get("amount"))
    same_currency = settled.get("currency") == source.get("currency")
    if same_currency and settled.get("amount") not in whole:
        return None
    return "charge.succeeded", source


def _refund(_: StripeObject, source: StripeObject) -> _Found:
    return ("refund.created", source) if source.get("object") == "refund" else None


def _not_captured(settled: StripeObject, source: StripeObject) -> _Found:
    """Stripe's source is the refund of what was not captured, or the charge itself."""
    return _refund(settled, source) or _captured(source)


def _captured(source: StripeObject) -> _Found:
    if source.get("object") != "charge" or not source.get("paid"):
        return None
    return "charge.succeeded", source


def _refund_failed(_: StripeObject, source: StripeObject) -> _Found:
    return ("refund.failed", source) if source.get("object") == "refund" else None


def _charge_failed(_: StripeObject, source: StripeObject) -> _Found:
    return ("charge.failed", source) if source.get("object") == "charge" else None


def _withdrawn(settled: StripeObject, source: StripeObject) -> _Found:
    return _disputed("charge.dispute.funds_withdrawn", settled, source)


def _reinstated(settled: StripeObject, source: StripeObject) -> _Found:
    return _disputed("charge.dispute.funds_reinstated", settled, source)


def _disputed(kind: str, settled: StripeObject, source: StripeObject) -> _Found:
    """Its list must hold the balance transaction: else the event would tell another movement."""
    if source.get("object") != "dispute":
        return None
    moved = source.get("balance_transactions") or []
    if settled["id"] not in {each.get("id") for each in moved}:
        return None
    return kind, _until(source, settled["created"])


def _until(dispute: StripeObject, second: int) -> Body:
    """The dispute as it was in a second."""
    moved = [each for each in dispute["balance_transactions"] if each["created"] <= second]
    return {**dispute, "balance_transactions": moved}


def _payout(_: StripeObject, source: StripeObject) -> _Found:
    return ("payout.created", source) if source.get("object") == "payout" else None


def _payout_returned(_: StripeObject, source: StripeObject) -> _Found:
    if source.get("object") != "payout" or source.get("status") not in {"failed", "canceled"}:
        return None
    return f"payout.{source['status']}", source


def _transfer(_: StripeObject, source: StripeObject) -> _Found:
    return ("transfer.created", source) if source.get("object") == "transfer" else None


def _transfer_reversed(_: StripeObject, source: StripeObject) -> _Found:
    whole = source.get("transfer")
    if source.get("object") != "transfer_reversal" or not isinstance(whole, dict):
        return None
    part = {**source, "transfer": whole.get("id")}
    return "transfer.reversed", {**whole, "reversals": _list_of(part)}


def _fee(_: StripeObject, source: StripeObject) -> _Found:
    found = source.get("object") == "application_fee"
    return ("application_fee.created", source) if found else None


def _fee_refunded(_: StripeObject, source: StripeObject) -> _Found:
    if source.get("object") != "fee_refund":
        return None
    whole = source.get("fee")
    about = whole if isinstance(whole, dict) else {"id": whole, "object": "application_fee"}
    part = {**source, "fee": about["id"]}
    return "application_fee.refunded", {
        "currency": source["currency"],
        **about,
        "refunds": _list_of(part),
    }


def _topup(_: StripeObject, source: StripeObject) -> _Found:
    return ("topup.succeeded", source) if source.get("object") == "topup" else None


def _topup_reversed(_: StripeObject, source: StripeObject) -> _Found:
    return ("topup.reversed", source) if source.get("object") == "topup" else None


def _cash_moved(_: StripeObject, source: StripeObject) -> _Found:
    """A customer's cash balance has no list of its own, but for each customer."""
    found = source.get("object") == "customer_cash_balance_transaction"
    return ("customer_cash_balance_transaction.created", source) if found else None


def _list_of(part: StripeObject) -> Body:
    return {"object": "list", "data": [part], "has_more": False}


_BY_CATEGORY: Final[Mapping[str, Callable[[StripeObject, StripeObject], _Found]]] = (
    MappingProxyType(
        {
            "charge": _charge,
            "charge_failure": _charge_failed,
            "partial_capture_reversal": _not_captured,
            "refund": _refund,
            "refund_failure": _refund_failed,
            "dispute": _withdrawn,
            "dispute_reversal": _reinstated,
            "payout": _payout,
            "payout_reversal": _payout_returned,
            "transfer": _transfer,
            "transfer_reversal": _transfer_reversed,
            "platform_earning": _fee,
            "platform_earning_refund": _fee_refunded,
            "topup": _topup,
            "topup_reversal": _topup_reversed,
            "unreconciled_customer_funds": _cash_moved,
        }
    )
)
"""Reporting category to its payment event; the others have the settlement event alone."""


# From Stripe's lists


def _charge_listed(charge: StripeObject) -> Iterator[ListedEvent]:
    created = charge["created"]
    if charge.get("paid") and charge.get("captured"):
        yield ListedEvent("charge.succeeded", charge, created)
    if charge.get("failure_balance_transaction"):
        yield ListedEvent("charge.failed", charge, created)


def _refund_listed(refund: StripeObject) -> Iterator[ListedEvent]:
    created = refund["created"]
    yield ListedEvent("refund.created", refund, created)
    if refund.get("status") == "failed":
        yield ListedEvent("refund.failed", refund, created)
    if refund.get("status") == "canceled":
        yield ListedEvent("refund.updated", refund, created)


def _dispute_listed(dispute: StripeObject) -> Iterator[ListedEvent]:
    """One event for each second in which money moved; and that it is lost."""
    moved = dispute.get("balance_transactions") or []
    for second in sorted({each["created"] for each in moved}):
        amounts = [each["amount"] for each in moved if each["created"] == second]
        until = _until(dispute, second)
        if any(amount < 0 for amount in amounts):
            yield ListedEvent("charge.dispute.funds_withdrawn", until, second, str(second))
        if any(amount > 0 for amount in amounts):
            yield ListedEvent("charge.dispute.funds_reinstated", until, second, str(second))
    yield from dispute_outcome(dispute)


def dispute_outcome(dispute: StripeObject) -> Iterator[ListedEvent]:
    """No balance transaction tells that a dispute is lost."""
    if dispute.get("status") == "lost":
        yield ListedEvent("charge.dispute.closed", dispute, dispute["created"])


def _payout_listed(payout: StripeObject) -> Iterator[ListedEvent]:
    yield ListedEvent("payout.created", payout, payout["created"])
    yield from payout_outcome(payout)
    if payout.get("status") in {"failed", "canceled"}:
        yield ListedEvent(f"payout.{payout['status']}", payout, payout["created"])


def payout_outcome(payout: StripeObject) -> Iterator[ListedEvent]:
    """No balance transaction tells that a payout has arrived."""
    if payout.get("status") == "paid":
        yield ListedEvent("payout.paid", payout, payout["created"])


def _transfer_listed(transfer: StripeObject) -> Iterator[ListedEvent]:
    yield ListedEvent("transfer.created", transfer, transfer["created"])
    for part in (transfer.get("reversals") or {}).get("data", ()):
        about = {**transfer, "reversals": _list_of(part)}
        yield ListedEvent("transfer.reversed", about, part["created"], part["id"])


def _fee_listed(fee: StripeObject) -> Iterator[ListedEvent]:
    yield ListedEvent("application_fee.created", fee, fee["created"])
    for part in (fee.get("refunds") or {}).get("data", ()):
        about = {**fee, "refunds": _list_of(part)}
        yield ListedEvent("application_fee.refunded", about, part["created"], part["id"])


def _topup_listed(topup: StripeObject) -> Iterator[ListedEvent]:
    if topup.get("status") in {"succeeded", "reversed"}:
        yield ListedEvent("topup.succeeded", topup, topup["created"])
    if topup.get("status") == "reversed":
        yield ListedEvent("topup.reversed", topup, topup["created"])


_BY_LIST: Final[Mapping[str, Callable[[StripeObject], Iterator[ListedEvent]]]] = MappingProxyType(
    {
        "charge": _charge_listed,
        "refund": _refund_listed,
        "dispute": _dispute_listed,
        "payout": _payout_listed,
        "transfer": _transfer_listed,
        "application_fee": _fee_listed,
        "topup": _topup_listed,
    }
)
"""An object's own name of its kind to what it tells today."""
