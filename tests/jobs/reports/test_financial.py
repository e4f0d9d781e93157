"""Zero checks, profit and loss and balance sheet; times of facts and of posting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.reconcile.by_hand import CREATED, charge, event, played, settlement
from tests.jobs.reports.played import Played
from worker.commands.cli import main
from worker.config.settings import Settings
from worker.jobs.generate.scene import Generated
from worker.jobs.reports.financial import statements, zero_checks
from worker.jobs.reports.trial_balance import AccountTotal, TrialBalance
from worker.ledger.books import NamedLedger
from worker.rulebooks.load import PACKAGED, load

USD = 840
DECEMBER = CREATED - 20 * 86_400
"""The ledger's clock begins on 1 January 2026."""


def month() -> list[Generated]:
    """A charge of December and one of January, both posted in January; both settled."""
    return [
        event("charge.succeeded", charge("ch_1", 700) | {"created": DECEMBER}, number="evt_1"),
        event("charge.succeeded", charge("ch_2", 500), number="evt_2"),
        settlement("txn_1", 700, 20, source="ch_1", created=DECEMBER),
        settlement("txn_2", 500, 15, source="ch_2"),
    ]


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    day = played(tmp_path, month())
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    return day


def read(capsys: pytest.CaptureFixture[str], *command: str) -> Any:
    assert main([*command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    ("options", "wallet"),
    [
        ((), "1200"),
        (("--at", "2026-01-01"), "700"),
        (("--at", "2026-01-01", "--by", "posting"), None),
        (("--at", "2026-01-02", "--by", "posting"), "1200"),
    ],
)
def test_what_is_before_a_moment(
    options: tuple[str, ...], wallet: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The facts, unless posting is asked for."""
    found = read(capsys, "trial-balance", *options)
    lines = {line["account"]: line["credit_balance"] for line in found["accounts"]}
    assert lines.get("customer_wallet") == wallet
    assert found["by"] == ("" if not options else "posting" if "--by" in options else "fact")


@pytest.mark.usefixtures("books")
def test_a_statement_is_of_facts_unless_posting_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was posted in January about December is in December's opening."""
    january = ("statement", "customer_wallet", "cus_1", "--from", "2026-01-01")
    found = read(capsys, *january)
    assert (found["opening_balance"], found["closing_balance"]) == ("700", "1200")
    assert [line["fact_at"] for line in found["lines"]] == ["2026-01-01T00:00:00Z"]
    posting = read(capsys, *january, "--by", "posting")
    assert (posting["opening_balance"], posting["transfers"]) == ("0", 2)
    line = found["lines"][0]
    assert len(line["transfer_id"]) == len(line["key_hash"]) == 32
    assert (line["topic"], line["amount"], line["change"]) == ("stripe.payments", "500", "500")


@pytest.mark.usefixtures("books")
def test_one_json_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Balances, statement and export name the same fields, in minor units."""
    (wallet,) = read(capsys, "balances", "customer_wallet")["accounts"]
    assert (wallet["posted"], wallet["available"], wallet["credits_posted"]) == (("1200",) * 3)
    read(capsys, "export", str(tmp_path / "out"), "--format", "avro")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["complete"] is True
    made = read(capsys, "statement", "customer_wallet", "cus_1")
    assert made["closing_balance"] == wallet["posted"]
    assert made["account_id"] == wallet["account_id"]


@pytest.mark.usefixtures("books")
def test_balances_are_in_the_order_of_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """As in the chart of accounts."""
    codes = [one["code"] for one in read(capsys, "balances")["accounts"]]
    assert codes == sorted(codes)
    assert len(set(codes)) > 2


def trial(day: Played, **totals: AccountTotal) -> TrialBalance:
    books = NamedLedger(day.ledger, load(PACKAGED), Settings())
    found = {(name, USD): total for name, total in totals.items()}
    return TrialBalance(books, 1, "made up", found, {("payouts_in_transit", USD): 2})


def test_profit_and_loss_and_the_balance_sheet(books: Played) -> None:
    """Assets are liabilities, equity and the result; what is not so is told."""
    made = {
        "bank": AccountTotal(debits=900),
        "customer_wallet": AccountTotal(credits=600),
        "opening_balances": AccountTotal(credits=100),
        "fee_revenue": AccountTotal(debits=10, credits=260),
        "processor_fees": AccountTotal(debits=50),
    }
    (found,) = statements(trial(books, **made))
    assert (found.of("revenue").total, found.of("expense").total, found.result) == (250, 50, 200)
    assert [found.of(kind).total for kind in ("asset", "liability", "equity")] == [900, 600, 100]
    assert found.off == 0
    document = found.document()
    assert document["balance_sheet"]["asset"]["accounts"] == [
        {"account": "bank", "title": "Bank", "amount": "900"}
    ]
    (wrong,) = statements(trial(books, **made | {"bank": AccountTotal(debits=901)}))
    assert wrong.off == 1


def test_what_is_to_be_at_zero(books: Played) -> None:
    """Memo, clearing, in transit and suspense; payouts that cancel out are open all the same."""
    found = zero_checks(
        trial(
            books,
            bank=AccountTotal(debits=5),
            payouts_in_transit=AccountTotal(debits=7, credits=7),
            stripe_unsettled=AccountTotal(credits=3),
            suspense=AccountTotal(credits=4),
            shortfall_control=AccountTotal(debits=9, credits=9),
        )
    )
    assert [(check.account, check.why, check.net, check.open_keys) for check in found] == [
        ("payouts_in_transit", "in_transit", 0, 2),
        ("stripe_unsettled", "clearing", -3, 0),
        ("suspense", "suspense", -4, 0),
        ("shortfall_control", "memo", 0, 0),
    ]


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    "command",
    [
        ("trial-balance",),
        ("trial-balance", "--at", "2026-01-02"),
        ("balances",),
        ("statement", "customer_wallet", "cus_1"),
    ],
    ids=" ".join,
)
def test_a_report_fits_on_eighty_columns(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line, and the heading says by which time it is."""
    assert main([*command]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80, [line for line in lines if len(line) > 80]
    assert "whenever" in " ".join(lines[:2])
