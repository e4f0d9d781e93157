"""Random Stripe lives, and Stripe's own balance beside them: charge to refund to dispute to payout.

Stripe's side is computed here from the balance transactions alone; it shares no code with the
worker, its rulebook or its traffic generator.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

Told = tuple[str, dict[str, Any], dict[str, Any]]
"""An event's type, its object, and what else its `data` holds."""

HELD_BACK = frozenset({"risk_reserved_funds", "connect_reserved_funds"})
WHOLLY = {
    "fee": "processor_fees", "network_cost": "processor_fees", "tax": "input_tax",
    "other_adjustment": "adjustments", "connect_collection_transfer": "adjustments",
}  # fmt: skip
"""Categories of which the whole net is one kind of cost."""


@dataclass(slots=True)
class Life:
    """Everything that happens to one Stripe account. told: the events, in the order of the facts.

    net: Stripe's balance by currency, the sum of its balance transactions; reserved: of it, what
    was held back. held: what must be on accounts besides, by account and currency.
    """

    rng: Random
    told: list[Told] = field(default_factory=list)
    net: Counter[str] = field(default_factory=Counter)
    reserved: Counter[str] = field(default_factory=Counter)
    held: Counter[tuple[str, str]] = field(default_factory=Counter)
    numbered: int = 0

    def new_id(self, prefix: str) -> str:
        """An id never given before."""
        self.numbered += 1
        return f"{prefix}_{self.numbered}"

    def tell(self, kind: str, about: dict[str, Any], **more: Any) -> None:
        """An event about an object."""
        self.told.append((kind, dict(about), more))

    def settle(
        self, category: str, amount: int, currency: str, *, fee: int = 0, **more: Any
    ) -> dict[str, Any]:
        """A balance transaction: Stripe's balance moves by its net."""
        parts = [{"type": "tax", "amount": fee // 5}] if fee // 5 else []
        if fee - fee // 5 and self.rng.random() < 0.8:  # else a part is not itemised
            parts.append({"type": "stripe_fee", "amount": fee - fee // 5})
        about = {
            "id": self.new_id("txn"), "created": 1_700_000_000 + self.numbered,
            "amount": amount, "fee": fee,
            "net": amount - fee, "currency": currency, "reporting_category": category,
            "fee_details": parts, "exchange_rate": None, "source": None, **more,
        }  # fmt: skip
        self.net[currency] += amount - fee
        if category in WHOLLY:
            self.held[WHOLLY[category], currency] -= amount - fee
        elif category not in HELD_BACK:
            kind = "dispute_fees" if category.startswith("dispute") else "processor_fees"
            self.held["input_tax", currency] += fee // 5
            self.held[kind, currency] += fee - fee // 5
        if category in HELD_BACK:
            self.reserved[currency] -= amount
        self.tell("balance_transaction.created", about)
        return about

    def exchange(self, euros: int) -> int:
        """What euros settle as in dollars."""
        dollars = euros * 11 // 10
        self.held["fx_liquidity", "eur"] += euros
        self.held["fx_liquidity", "usd"] -= dollars
        return dollars

    def made(self, prefix: str, amount: int, currency: str, **more: Any) -> dict[str, Any]:
        """A Stripe object."""
        seconds = 1_700_000_000 + self.numbered
        about = {"id": self.new_id(prefix), "created": seconds}
        return about | {"amount": amount, "currency": currency, "status": "succeeded"} | more


def live(seed: int, facts: int) -> Life:
    """So many facts, each with all that follows from it."""
    life = Life(Random(seed))
    for _ in range(facts):
        life.rng.choice((charge, charge, charge, command, payout, platform))(life)
    return life


def charge(life: Life) -> None:
    """A charge with its fee, perhaps refunded, disputed, or failed after all."""
    rng = life.rng
    customer = rng.choice(["a", "b", "c", None])
    currency = rng.choice(["usd", "usd", "jpy", "kwd", "eur"])
    paid = life.made("ch", rng.randint(100, 5_000), currency, customer=customer, paid=True)
    paid |= {"captured": True, "amount_captured": paid["amount"]}
    if rng.random() < 0.3:
        life.tell("charge.succeeded", paid | {"captured": False, "amount_captured": 0})
        paid["amount_captured"] -= rng.randint(0, 50)
        paid["amount_refunded"] = paid["amount"] - paid["amount_captured"]
        life.tell("charge.captured", paid)
        rest = paid["amount_captured"] - paid["amount"]
        life.settle("charge", paid["amount"], currency, fee=rng.randint(0, 90))
        life.settle("partial_capture_reversal", rest, currency, fee=-rng.randint(0, 2))
    else:
        life.tell("charge.succeeded", paid)
        _converted(life, "charge", paid, 1)
    rng.choice((_keep, _keep, _refund, _dispute, _fail))(life, paid)


def _converted(life: Life, category: str, about: dict[str, Any], sign: int) -> None:
    """Euros settle in dollars here."""
    amount, currency = about["amount"], about["currency"]
    if currency != "eur":
        life.settle(category, sign * amount, currency, fee=sign * life.rng.randint(0, 90))
        return
    source = {"id": about["id"], "amount": amount, "currency": "eur"}
    in_usd = life.exchange(sign * amount)
    life.settle(category, in_usd, "usd", fee=7, exchange_rate=1.1, source=source)


def _keep(_life: Life, _paid: dict[str, Any]) -> None:
    """Nothing more happens."""


def _refund(life: Life, paid: dict[str, Any]) -> None:
    left = paid["amount_captured"]
    for _ in range(life.rng.randint(1, 2)):
        part = life.rng.randint(1, max(left - 1, 1))
        left -= part
        why = {"reason": "requested_by_customer"}
        refund = life.made("re", part, paid["currency"], charge=paid["id"], **why)
        life.tell("refund.created", refund)
        life.tell("charge.refunded", paid | {"amount_refunded": paid["amount"] - left})
        _converted(life, "refund", refund, -1)
        if life.rng.random() < 0.3:
            life.tell("refund.failed", refund | {"status": "failed"})
            life.tell("refund.updated", refund | {"status": "failed"})
            _converted(life, "refund_failure", refund, 1)


def _dispute(life: Life, paid: dict[str, Any]) -> None:
    """Funds are withdrawn, in one or two parts, and come back when it is won.

    What a refund anticipates is withdrawn never, and lost all the same.
    """
    rng = life.rng
    currency = paid["currency"]
    dispute = life.made("dp", paid["amount_captured"], currency, charge=paid["id"])
    moved: list[dict[str, Any]] = []
    life.tell("charge.dispute.created", dispute | {"balance_transactions": []})
    if rng.random() < 0.1:
        life.tell("charge.dispute.closed", dispute | {"status": "lost", "balance_transactions": []})
        return
    for part in _parts(rng, dispute):
        moved = [*moved, _disputed(life, "dispute", dispute, -part)]
        life.tell("charge.dispute.funds_withdrawn", dispute | {"balance_transactions": moved})
    won = rng.random() < 0.5
    for part in _parts(rng, dispute) if won else ():
        moved = [_disputed(life, "dispute_reversal", dispute, part), *moved]
        life.tell("charge.dispute.funds_reinstated", dispute | {"balance_transactions": moved})
    ended = {"status": "won" if won else "lost", "balance_transactions": moved}
    life.tell("charge.dispute.closed", dispute | ended)


def _parts(rng: Random, dispute: dict[str, Any]) -> list[int]:
    """All at once, or two parts where no exchange rate comes between."""
    amount = dispute["amount"]
    if dispute["currency"] == "eur" or amount < 2 or rng.random() < 0.6:
        return [amount]
    part = rng.randint(1, amount - 1)
    return [part, amount - part]


def _disputed(life: Life, category: str, dispute: dict[str, Any], amount: int) -> dict[str, Any]:
    """Stripe names no exchange rate for disputes; the feed expands them."""
    currency = dispute["currency"]
    fee = life.rng.choice([0, 1500 if amount < 0 else -1500])
    if currency == "eur":
        source = {"id": dispute["id"], "amount": dispute["amount"], "currency": "eur"}
        return life.settle(category, life.exchange(amount), "usd", fee=fee, source=source)
    return life.settle(category, amount, currency, fee=fee, source=dispute["id"])


def _fail(life: Life, paid: dict[str, Any]) -> None:
    if paid["amount_captured"] == paid["amount"]:
        failed = paid | {"status": "failed", "failure_balance_transaction": "txn_x"}
        life.tell("charge.failed", failed)
        _converted(life, "charge_failure", paid, -1)


def command(life: Life) -> None:
    """A customer's own command, which an empty wallet refuses."""
    payer, payee = life.rng.sample(["a", "b", "c"], 2)
    amount = life.rng.randint(1, 3_000)
    about = {"id": life.new_id("p2p"), "amount": amount, "currency": "usd"}
    life.tell("wallet.p2p", about | {"from": payer, "to": payee})


def payout(life: Life) -> None:
    """A payout that arrives, comes back, or comes back after it arrived."""
    sent = life.made("po", life.rng.randint(1, 9_000), life.rng.choice(["usd", "jpy"]))
    life.tell("payout.created", sent)
    life.settle("payout", -sent["amount"], sent["currency"])
    end = life.rng.choice(["payout.paid", "payout.canceled", "payout.failed", "late"])
    if end == "late":
        life.tell("payout.paid", sent)
    life.tell("payout.failed" if end == "late" else end, sent)
    if end == "payout.paid":
        life.held["bank", sent["currency"]] += sent["amount"]
    else:
        life.settle("payout_reversal", sent["amount"], sent["currency"])


def platform(life: Life) -> None:
    """What concerns the platform alone."""
    life.rng.choice((_top_up, _hold, _adjust, _transfer, _application_fee))(life)


def _top_up(life: Life) -> None:
    topup = life.made("tu", life.rng.randint(1, 900), "usd")
    life.tell("topup.succeeded", topup)
    life.settle("topup", topup["amount"], "usd")
    life.held["bank", "usd"] -= topup["amount"]
    if life.rng.random() < 0.4:
        life.tell("topup.reversed", topup)
        life.settle("topup_reversal", -topup["amount"], "usd")
        life.held["bank", "usd"] += topup["amount"]


def _hold(life: Life) -> None:
    amount = life.rng.randint(1, 900)
    life.settle("risk_reserved_funds", -amount, "usd")
    if life.rng.random() < 0.5:
        life.settle("risk_reserved_funds", amount, "usd")


def _adjust(life: Life) -> None:
    category = life.rng.choice(list(WHOLLY))
    life.settle(category, life.rng.randint(-900, 900), "usd", fee=life.rng.choice([0, 0, 9]))


def _transfer(life: Life) -> None:
    sent = life.made("tr", life.rng.randint(10, 900), "usd", destination="acct_1")
    life.tell("transfer.created", sent)
    life.settle("transfer", -sent["amount"], "usd")
    if life.rng.random() < 0.5:
        part = life.rng.randint(1, sent["amount"])
        reversal = life.made("trr", part, "usd")
        life.tell("transfer.reversed", sent | {"reversals": {"data": [reversal]}})
        life.settle("transfer_reversal", part, "usd")


def _application_fee(life: Life) -> None:
    earned = life.made("fee", life.rng.randint(10, 900), "usd")
    life.tell("application_fee.created", earned)
    life.settle("platform_earning", earned["amount"], "usd")
    if life.rng.random() < 0.5:
        part = life.rng.randint(1, earned["amount"])
        refund = life.made("fr", part, "usd")
        life.tell("application_fee.refunded", earned | {"refunds": {"data": [refund]}})
        life.settle("platform_earning_refund", -part, "usd")
