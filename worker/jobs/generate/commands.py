"""Wallet commands: payments between customers, split bills, withdrawals, exchanges, overdrafts.

But for overdrafts nobody spends more than the wallets' model gives.
"""

from __future__ import annotations

from typing import Any, Final

from worker.jobs.generate.scene import COMMANDS, TREASURY, Generated, Scene
from worker.jobs.generate.wallets import CURRENCIES

SPEND_LEAST: Final = 100
"""Minor units: less is not worth a command."""

DEBTORS: Final = (2, 6)
SHARE_MOST: Final = 5_000
PAID_PER_MILLE: Final = 880
OUTCOME_TICKS: Final = (100, 1_000)
OVERDRAFT_LEAST: Final = 10_000_000_000
"""Minor units: more than any wallet ever holds here, so rejected in whatever order it is read."""

COMMONEST: Final = CURRENCIES[0][0]
"""Overdrafts are in this currency: it has customers from early on."""

RATES: Final = {"usd": 100_000, "eur": 108_000, "gbp": 127_000, "jpy": 670}
"""What one minor unit is worth, in 1/100,000 of a cent."""
SPREAD_PER_MILLE: Final = 10

TREASURY_ONLY: Final = frozenset(
    {"wallet.withdrawal_paid", "wallet.withdrawal_failed", "wallet.exchange"}
)
"""What no customer may ask for."""


def p2p(scene: Scene) -> Generated | None:
    """One customer pays another."""
    currency = scene.wallets.currency()
    payer = scene.wallets.spender(currency, SPEND_LEAST)
    payee = scene.wallets.other(currency, than={payer}) if payer else None
    if payer is None or payee is None:
        return None
    amount = scene.chance.between(1, scene.wallets.spendable(payer, currency) // 2)
    scene.wallets.spend(payer, currency, amount)
    scene.wallets.receive(payee, currency, amount, tick=scene.tick)
    return _payment(scene, payer, payee, amount, currency, "p2p")


def overdraft(scene: Scene) -> Generated | None:
    """One customer pays another more than there is: the ledger must refuse it."""
    currency = COMMONEST
    payer = scene.wallets.spender(currency, 0)
    payee = scene.wallets.other(currency, than={payer}) if payer else None
    if payer is None or payee is None:
        return None
    amount = OVERDRAFT_LEAST + scene.chance.below(OVERDRAFT_LEAST)
    return _payment(scene, payer, payee, amount, currency, "overdraft")


def _payment(  # noqa: PLR0913, PLR0917 - one argument per field
    scene: Scene, payer: str, payee: str, amount: int, currency: str, note: str
) -> Generated:
    about = {
        "id": scene.chance.new_id("p2p"),
        "from": payer,
        "to": payee,
        "amount": amount,
        "currency": currency,
    }
    return command(scene, "wallet.p2p", about, key=payer, note=note)


def split_bill(scene: Scene) -> Generated | None:
    """Several customers pay back the one who paid their bill: all, or none."""
    currency = scene.wallets.currency()
    payer = scene.wallets.spender(currency, 0)
    shares: list[dict[str, Any]] = []
    taken = {payer}
    for _ in range(scene.chance.between(*DEBTORS) if payer else 0):
        debtor = scene.wallets.spender(currency, SPEND_LEAST)
        if debtor is None or debtor in taken:
            continue
        taken.add(debtor)
        most = min(SHARE_MOST, scene.wallets.spendable(debtor, currency))
        shares.append({"customer": debtor, "amount": scene.chance.between(1, most)})
    if payer is None or not shares:
        return None
    for share in shares:
        scene.wallets.spend(share["customer"], currency, share["amount"])
        scene.wallets.receive(payer, currency, share["amount"], tick=scene.tick)
    about = {
        "id": scene.chance.new_id("bill"),
        "payer": payer,
        "shares": shares,
        "currency": currency,
    }
    return command(scene, "wallet.split_bill", about, key=payer, note="split bill")


def withdrawal(scene: Scene) -> Generated | None:
    """A customer takes money out; later it is paid, or it fails and is back."""
    currency = scene.wallets.currency()
    customer = scene.wallets.spender(currency, SPEND_LEAST)
    if customer is None:
        return None
    amount = scene.chance.between(1, scene.wallets.spendable(customer, currency))
    scene.wallets.spend(customer, currency, amount)
    about = {
        "id": scene.chance.new_id("wd"),
        "created": scene.now,
        "customer": customer,
        "amount": amount,
        "currency": currency,
    }
    paid = scene.chance.happens(PAID_PER_MILLE)
    outcome = _paid if paid else _failed
    scene.later(scene.chance.between(*OUTCOME_TICKS), lambda: outcome(scene, about))
    return command(scene, "wallet.withdrawal", about, key=customer, note="withdrawal")


def _paid(scene: Scene, about: dict[str, Any]) -> Generated:
    made = command(
        scene, "wallet.withdrawal_paid", about, key=about["customer"], note="withdrawal paid"
    )
    return made._replace(follows=True)


def _failed(scene: Scene, about: dict[str, Any]) -> Generated:
    customer = about["customer"]
    scene.wallets.receive(customer, about["currency"], about["amount"], tick=scene.tick)
    made = command(scene, "wallet.withdrawal_failed", about, key=customer, note="withdrawal failed")
    return made._replace(follows=True)


def exchange(scene: Scene) -> Generated | None:
    """A customer changes money into another currency; the platform keeps a spread."""
    sold, bought = scene.wallets.currency(), scene.wallets.currency()
    customer = scene.wallets.spender(sold, SPEND_LEAST)
    if customer is None or sold == bought:
        return None
    amount = scene.chance.between(SPEND_LEAST, scene.wallets.spendable(customer, sold))
    worth = amount * RATES[sold] // RATES[bought]
    spread = worth * SPREAD_PER_MILLE // 1000
    if worth <= spread:
        return None
    scene.wallets.spend(customer, sold, amount)
    scene.wallets.receive(customer, bought, worth - spread, tick=scene.tick)
    about = {
        "id": scene.chance.new_id("fx"),
        "customer": customer,
        "sell": {"amount": amount, "currency": sold},
        "buy": {"amount": worth - spread, "currency": bought},
        "spread": {"amount": spread, "currency": bought},
    }
    return command(scene, "wallet.exchange", about, key=customer, note="exchange")


def command(scene: Scene, kind: str, about: dict[str, Any], *, key: str, note: str) -> Generated:
    """A command of now, keyed by the customer who gave it."""
    event = {
        "id": scene.chance.new_id("cmd"),
        "type": kind,
        "created": scene.now,
        "livemode": False,
        "data": {"object": about},
    }
    role = TREASURY if kind in TREASURY_ONLY else COMMANDS
    return Generated(role, key.encode(), event, note)
