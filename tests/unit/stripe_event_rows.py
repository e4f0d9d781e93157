"""What Stripe's payment events become: one row for each, made from Stripe's own object shapes."""
# ruff: noqa: E501 - a row of the table shows all legs of an event

from __future__ import annotations

from typing import Any

from tests.unit.delivered import OBJECTS

CHARGE = OBJECTS["charge"] | {"captured": True, "amount_captured": 100}
WALLET = CHARGE | {"customer": "cus_1"}
ORIGIN = "origin.gross.credit"
OWED = "user_receivable[origin.gross.credit.key] else unallocated"
AGAIN = "origin.principal.debit"
OWED_AGAIN = "user_receivable[origin.principal.debit.key] else unallocated"
CTL = "shortfall_control"
TRANSFER = OBJECTS["transfer"]
PAYOUT = OBJECTS["payout"] | {"id": "po_1"}
PARTLY = TRANSFER | {"amount_reversed": 400}


def moved(*steps: tuple[int, int], currency: str = "usd") -> dict[str, Any]:
    """A dispute's balance transactions: when, and how much."""
    listed = [
        {"id": f"txn_{number}", "amount": amount, "created": created, "currency": currency}
        for number, (created, amount) in enumerate(steps)
    ]
    return {"balance_transactions": listed}


DISPUTE = OBJECTS["dispute"] | {"amount": 1000, "created": 5}
OLD = {name: value for name, value in DISPUTE.items() if name != "balance_transactions"}
LOST = DISPUTE | {"status": "lost"}


def taken(wallet: str, other: str, from_: str, into: str, amount: int) -> str:
    """The three transfers of a shortfall."""
    return f"{from_}>{into} {amount} usd, {wallet}>{CTL} {amount} usd, {other}>{CTL} {amount} usd"


DP = "dp_1Pgc71B7WZ01zgkWMevJiAUx"
DISPUTED = "ch_1PgafuB7WZ01zgkWXYmPNZs8"
BORNE = "origin.borne.debit else disputes_held[data.object.id]"


def chain(amount: int, *pairs: str) -> str:
    """Legs of one amount."""
    return ", ".join(f"{pair} {amount} usd" for pair in pairs)


def withdrawn(total: int, dispute: str = DP) -> str:
    """What is more than was withdrawn before, from what is held or from who bore the loss."""
    noted = f"told_so_far[{dispute}/withdrawn]"
    lost = "origin.loss.debit else disputes_held[data.object.id]"
    return chain(
        total, f"{noted}>shortfall_control", f"shortfall_control>{noted}",
        f"{BORNE}>shortfall_control", f"{lost}>shortfall_control",
        f"shortfall_control>{noted[:-1]}/counter]", f"{noted[:-1]}/counter]>shortfall_control",
        "shortfall_control>stripe_unsettled",
    )  # fmt: skip


def reinstated(total: int, dispute: str = DP, charge: str = DISPUTED) -> str:
    """The same back, and what the customer owes is repaid of it."""
    noted = f"told_so_far[{dispute}/reinstated]"
    return chain(
        total, f"{noted}>shortfall_control", f"shortfall_control>{noted}",
        "stripe_unsettled>shortfall_control",
        f"shortfall_control>{noted[:-1]}/counter]", f"{noted[:-1]}/counter]>shortfall_control",
        f"shortfall_control>chargeback_losses[{charge}]", f"shortfall_control>{BORNE}",
        f"{BORNE}>user_receivable[origin.borne.debit.key] else shortfall_control",
    )  # fmt: skip


def refunded(amount: int, charge: str = "ch_1PgafuB7WZ01zgkWXYmPNZs8") -> str:
    """What was noted of the rest and by totals to the wallet first; then the refund takes it."""
    wallet, told = "origin.gross.credit else opening_balances", f"told_so_far[{charge}"
    rest, total = f"{charge}/{amount}", f"{told}/refunds_by_total"
    return ", ".join((
        f"never_captured[{rest}]>{wallet} {amount} usd",
        f"told_so_far[{rest}/refunded/counter]>told_so_far[{rest}/refunded] {2 * amount} usd",
        chain(
            amount, f"{total}]>{wallet}", "shortfall_control>stripe_unsettled",
            f"{wallet}>shortfall_control",
            f"user_receivable[origin.gross.credit.key] else {wallet}>shortfall_control",
            f"stripe_unsettled>authorised_only[{rest}]", f"stripe_unsettled>{total}/counter]",
            f"{told}/refunds/counter]>{told}/refunds]", f"{told}/refunds]>{total}/said/counter]",
            f"{total}/said]>{told}/refunds/counter]",
        ),
    ))  # fmt: skip


BEARER = "origin.gross.credit else chargeback_losses[data.object.charge]"
LOST_LEGS = chain(
    1000, f"{BEARER}>disputes_held[{DP}]", f"chargeback_losses[{DISPUTED}]>disputes_held[{DP}]",
    f"disputes_held[{DP}]>{BEARER}",
    f"{BEARER}>user_receivable[origin.gross.credit.key] else shortfall_control",
)  # fmt: skip

EVENTS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # type                  object                  the rest of data    legs
    ("charge.succeeded", WALLET, {}, "stripe_unsettled>customer_wallet[cus_1] 100 usd"),
    ("charge.succeeded", CHARGE, {}, "stripe_unsettled>unallocated 100 usd"),
    ("charge.succeeded", WALLET | {"currency": "jpy"}, {},
     "stripe_unsettled>customer_wallet[cus_1] 100 jpy"),
    ("charge.succeeded", WALLET | {"currency": "kwd", "amount": 12340}, {},
     "stripe_unsettled>customer_wallet[cus_1] 12340 kwd"),
    ("charge.succeeded", WALLET | {"captured": False}, {}, "ignored"),
    ("charge.captured", WALLET | {"amount_captured": 60}, {},
     ("stripe_unsettled>customer_wallet[cus_1] 60 usd, "
      "authorised_only[ch_1PgafuB7WZ01zgkWXYmPNZs8/40]>never_captured[ch_1PgafuB7WZ01zgkWXYmPNZs8/40] 40 usd, "
      "told_so_far[ch_1PgafuB7WZ01zgkWXYmPNZs8/40/noted/counter]>told_so_far[ch_1PgafuB7WZ01zgkWXYmPNZs8/40/noted] 40 usd, "
      "told_so_far[ch_1PgafuB7WZ01zgkWXYmPNZs8/captured/counter]>told_so_far[ch_1PgafuB7WZ01zgkWXYmPNZs8/captured] 60 usd")),
    ("charge.failed", WALLET | {"paid": False, "failure_balance_transaction": "txn_9"}, {},
     ("shortfall_control>stripe_unsettled 100 usd, "
      "origin.gross.credit>shortfall_control 100 usd, "
      "user_receivable[origin.gross.credit.key] else origin.gross.credit>shortfall_control 100 usd")),
    ("charge.failed", WALLET | {"paid": False, "balance_transaction": None}, {}, "ignored"),
    ("refund.created", OBJECTS["refund"], {}, refunded(100)),
    ("refund.created", OBJECTS["refund"] | {"status": "pending", "amount": 30}, {},
     refunded(30)),
    ("refund.created", OBJECTS["refund"] | {"status": "failed"}, {}, refunded(100)),
    ("refund.created", OBJECTS["refund"] | {"charge": None}, {}, ("suspense>stripe_unsettled 100 usd")),
    ("refund.failed", OBJECTS["refund"] | {"status": "failed"}, {},
     ("stripe_unsettled>shortfall_control 100 usd, "
      "shortfall_control>user_receivable[origin.gross.credit.key] else origin.gross.credit else opening_balances 100 usd, "
      "shortfall_control>origin.gross.credit else opening_balances 100 usd, "
      "origin.gross.credit else shortfall_control>chargeback_losses[ch_1PgafuB7WZ01zgkWXYmPNZs8] 100 usd")),
    ("refund.updated", OBJECTS["refund"] | {"status": "canceled"}, {},
     ("stripe_unsettled>shortfall_control 100 usd, "
      "shortfall_control>user_receivable[origin.gross.credit.key] else origin.gross.credit else opening_balances 100 usd, "
      "shortfall_control>origin.gross.credit else opening_balances 100 usd, "
      "origin.gross.credit else shortfall_control>chargeback_losses[ch_1PgafuB7WZ01zgkWXYmPNZs8] 100 usd")),
    ("charge.refund.updated", OBJECTS["refund"] | {"status": "failed"}, {},
     ("stripe_unsettled>shortfall_control 100 usd, "
      "shortfall_control>user_receivable[origin.gross.credit.key] else origin.gross.credit else opening_balances 100 usd, "
      "shortfall_control>origin.gross.credit else opening_balances 100 usd, "
      "origin.gross.credit else shortfall_control>chargeback_losses[ch_1PgafuB7WZ01zgkWXYmPNZs8] 100 usd")),
    ("refund.updated", OBJECTS["refund"], {}, "ignored"),
    ("charge.refund.updated", OBJECTS["refund"], {}, "ignored"),
    ("charge.refunded", CHARGE | {"amount_refunded": 100}, {}, "ignored"),
    ("charge.dispute.created", DISPUTE, {}, "ignored"),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -1000)), {}, withdrawn(1000)),
    ("charge.dispute.funds_withdrawn", DISPUTE, {}, withdrawn(1000)),
    ("charge.dispute.funds_withdrawn", OLD, {}, withdrawn(1000)),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -400), (8, -600)), {}, withdrawn(1000)),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((8, -600), (6, -400), (8, -3)), {}, withdrawn(1003)),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -1000), (7, 1000), (9, -990)), {}, withdrawn(1990)),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -928), currency="eur"), {}, withdrawn(1000)),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -400), (7, -528), currency="eur"), {}, withdrawn(1000)),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -9), (7, 9), (8, -9), currency="eur"), {}, withdrawn(2000)),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -928), currency="xau"), {}, withdrawn(1000)),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -1000), (7, 1000)), {}, reinstated(1000)),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -1000)), {}, reinstated(1000)),
    ("charge.dispute.funds_reinstated", OLD, {}, reinstated(1000)),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -1000), (7, 300), (9, 200)), {}, reinstated(500)),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -928), (9, 930), currency="eur"), {}, reinstated(1000)),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -928), (9, 464), currency="eur"), {}, reinstated(500)),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -928), (9, 920), currency="eur"), {}, reinstated(1000)),
    ("charge.dispute.closed", LOST | moved((6, -1000)), {}, LOST_LEGS),
    ("charge.dispute.closed", LOST | moved((6, -1000), (8, 300)), {}, LOST_LEGS),
    ("charge.dispute.closed", LOST | moved((6, -928), currency="eur"), {}, LOST_LEGS),
    ("charge.dispute.closed", OLD | {"status": "lost"}, {}, LOST_LEGS),
    ("charge.dispute.closed", LOST, {}, LOST_LEGS),
    ("charge.dispute.closed", LOST | moved((6, -9), (7, 9), currency="eur"), {}, LOST_LEGS),
    ("charge.dispute.closed", LOST | {"status": "won"}, {}, "ignored"),
    ("charge.dispute.closed", LOST | {"status": "warning_closed"}, {}, "ignored"),
    ("charge.dispute.closed", LOST | {"status": "never_heard_of"}, {}, "ignored"),
    ("payout.created", PAYOUT, {}, "payouts_in_transit[po_1]>stripe_unsettled 1100 usd"),
    ("payout.paid", PAYOUT, {}, ("origin.returned.credit else bank>shortfall_control 1100 usd, "
                                 "shortfall_control>payouts_in_transit[po_1] 1100 usd")),
    ("payout.failed", PAYOUT, {},
     "stripe_unsettled>origin.arrived.debit else payouts_in_transit[data.object.id] 1100 usd"),
    ("payout.canceled", PAYOUT, {},
     "stripe_unsettled>origin.arrived.debit else payouts_in_transit[data.object.id] 1100 usd"),
    ("payout.created", PAYOUT | {"amount": -5}, {}, ("stripe_unsettled>payouts_in_transit[po_1] 5 usd")),
    ("payout.updated", PAYOUT, {}, "ignored"),
    ("payout.reconciliation_completed", PAYOUT, {}, "ignored"),
    ("application_fee.created", OBJECTS["application_fee"], {},
     "stripe_unsettled>fee_revenue 100 usd"),
    ("application_fee.refunded", OBJECTS["application_fee"] | {"amount_refunded": 90},
     {"previous_attributes": {"amount_refunded": 20}}, "ignored"),
    ("application_fee.refunded", OBJECTS["application_fee"], {}, "ignored"),
    ("application_fee.refund.updated", OBJECTS["fee_refund"], {}, "ignored"),
    ("transfer.created", TRANSFER, {}, ("seller_payable[acct_1PgafTB7WZ01zgkW]>stripe_unsettled 1100 usd")),
    ("transfer.reversed", PARTLY, {"previous_attributes": {"amount_reversed": 0}},
     "ignored"),
    ("transfer.reversed", PARTLY, {"previous_attributes": {"amount_reversed": 100}},
     "ignored"),
    ("topup.succeeded", OBJECTS["topup"] | {"source": None}, {}, ("stripe_unsettled>bank 1000 usd")),
    ("topup.reversed", OBJECTS["topup"] | {"source": None}, {}, "bank>stripe_unsettled 1000 usd"),
    ("topup.failed", OBJECTS["topup"], {}, "ignored"),
    ("topup.canceled", OBJECTS["topup"], {}, "ignored"),
    ("topup.created", OBJECTS["topup"] | {"source": None}, {}, "ignored"),
    ("reserve.hold.created", OBJECTS["reserve.hold"], {}, "ignored"),
    ("reserve.release.created", OBJECTS["reserve.release"], {}, "ignored"),
    ("charge.teleported", CHARGE, {}, "no_rule"),
]  # fmt: skip
