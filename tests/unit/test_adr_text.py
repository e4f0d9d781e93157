"""A rulebook in ADR-0015's text form: what it becomes, and every mistake by file and line."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.books import Books
from worker.core.errors import UsageError
from worker.core.expressions.compiler import Expression
from worker.core.rulebook import Rulebook
from worker.rulebooks.adr_expressions import translate
from worker.rulebooks.adr_lines import is_adr_text
from worker.rulebooks.adr_rules import read_adr
from worker.rulebooks.load import PACKAGED, load
from worker.rulebooks.yaml_source import Mistakes
from worker.rulebooks.yaml_text import yaml_text

SALE = """\
ledger Wallet "Customer wallet":
  account_code: 2001
  ledger_id: 1
  account_type: liability
  currency: GBP
  flags: debits_must_not_exceed_credits
  sync_to: Customer.balance_cache

ledger Sales "Sales":
  account_code: 4000
  ledger_id: 1
  account_type: revenue
  currency: GBP

transaction RecordSale "Record a sale":
  execution: async
  priority: high

  transfer revenue:
    debit: Wallet
    credit: Sales
    amount: sale.amount
    code: 1
    flags: linked

  idempotency_key: sale.id
"""

ENOUGH = SALE.replace("  flags: debits_must_not_exceed_credits\n", "")


def loaded(tmp_path: Path, text: str, name: str = "rules.txt") -> Rulebook:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return load(path)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """`line: message` of each mistake."""
    with pytest.raises(UsageError) as refused:
        loaded(tmp_path, text)
    return [line.split("rules.txt:", 1)[1] for line in str(refused.value).split("\n")]


def without_lines(value: Any) -> Any:
    """A rulebook as plain data, its expressions as text and no lines."""
    if isinstance(value, Expression):
        return value.text
    if is_dataclass(value):
        names = (each.name for each in fields(value) if each.name != "line")
        return {name: without_lines(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: without_lines(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [without_lines(each) for each in value]
    return value


def text_of(expression: Expression | None) -> str:
    return expression.text if expression else ""


def refusal(path: Path) -> str:
    """What is wrong with a file, "" where it loads."""
    try:
        load(path)
    except UsageError as refused:
        return str(refused)
    return ""


def as_yaml(text: str) -> str:
    return yaml_text(read_adr(text, Mistakes(Path("rules.txt"))).tree, {})


def test_the_form_of_the_adr(tmp_path: Path) -> None:
    """Its example declares two accounts on one ledger and a rule for events of its name."""
    rulebook = loaded(tmp_path, SALE)
    assert {name: one.ledger for name, one in rulebook.ledgers.items()} == {"gbp": 1}
    wallet, sales = rulebook.accounts.values()
    assert (wallet.name, wallet.code, wallet.type) == ("wallet", 2001, "liability")
    assert (wallet.title, wallet.sync_to) == ("Customer wallet", "customer.balance_cache")
    assert (sales.name, sales.type) == ("sales", "revenue")
    (rule,) = rulebook.transactions
    assert (rule.name, rule.on, rule.priority, rule.sync) == (
        "record_sale", ("RecordSale",), "high", False,
    )  # fmt: skip
    (leg,) = rule.legs
    assert (text_of(leg.amount), text_of(rule.idempotency_key)) == (
        "data.object.sale.amount",
        "data.object.sale.id",
    )


def test_an_event_posts_what_the_text_says(tmp_path: Path) -> None:
    """A `RecordSale` moves its amount once, however often it comes."""
    path = tmp_path / "rules.txt"
    path.write_text(ENOUGH)
    books = Books(path)
    sale = books.event("RecordSale", {"sale": {"id": "s1", "amount": 1250}})
    assert books.kinds(sale) == ["posted"]
    assert books.kinds(sale) == ["redelivered"]
    assert books.balances() == {"wallet gbp": 1250, "sales gbp": -1250}


def test_the_yaml_is_the_same_rulebook(tmp_path: Path) -> None:
    """What `convert` writes loads to the same rules and the same digest."""
    from_text = loaded(tmp_path, SALE)
    from_yaml = loaded(tmp_path, as_yaml(SALE), "rules.yaml")
    assert without_lines(from_text) == without_lines(from_yaml)


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    """A file that an editor on Windows wrote is the same rulebook, and its lines are counted so."""
    windows = "\ufeff" + SALE.replace("\n", "\r\n")
    assert without_lines(loaded(tmp_path, windows)) == without_lines(loaded(tmp_path, SALE))
    wrong = windows.replace("code: 1\r", "code: x\r")
    assert mistakes(tmp_path, wrong) == ["23: `code` must be a whole number from 1 to 65535"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("execution:", "executon:", "16: unknown key 'executon'; did you mean 'execution'?"),
        ("  ledger_id: 1\n", "", "1: ledger Wallet: `ledger_id` is missing"),
        ("    code: 1\n", "", "19: transfer revenue: `code` is missing"),
        ("account_code: 2001", "account_code:", "2: `account_code` has no value"),
        (
            "    amount:",
            "      amount:",
            "22: wrong indentation: 6 spaces here, 4 in the lines before",
        ),
        (
            "  currency: GBP\n\nt",
            "   currency: GBP\n\nt",
            "13: wrong indentation: 3 spaces here, 2 in the lines before",
        ),
        (
            "  execution: async",
            "execution: async",
            "16: wrong indentation: spaces before this say which block it belongs to",
        ),
        (
            "ledger Sales",
            "ledger Wallet",
            "9: the name of ledger Wallet is taken, wallet, since line 1",
        ),
        (
            "credit: Sales",
            "credit: Sails",
            "21: `credit`: there is no ledger 'Sails'; did you mean 'Sales'?",
        ),
        ("2001", "2,001", "2: `account_code` must be a whole number from 1 to 65535"),
        ("2001", "70000", "2: `account_code` must be a whole number from 1 to 65535"),
        ("4000", "2001", "10: account_code 2001 is already Wallet's"),
        ("sale.amount", "12.5", "22: `amount`: '12.5': amounts are minor"),
        ("sale.amount", "sale.amount $ 2", "22: `amount`: '$' is not understood here"),
        (
            "  account_code: 4000",
            "\taccount_code: 4000",
            "10: a tab in the indentation: write spaces",
        ),
        ('"Customer wallet"', '"Customer wallet', "1: a quote has no end"),
        (
            "liability",
            "liabilities",
            "4: `account_type` must be one of asset, liability, equity, revenue, expense",
        ),
        ("GBP\n\nt", "USD\n\nt", "13: ledger 1 is in gbp, since line 5"),
        ("1\n  account_type: r", "2\n  account_type: r", "11: gbp is on ledger 1, since line 5"),
        ("GBP\n\nt", "pounds\n\nt", "13: `currency` is three letters, as in ISO 4217: GBP"),
        (
            "Customer.balance_cache",
            "balance",
            "7: `sync_to` is an entity and a field: Customer.balance_cache",
        ),
        ("linked", "link", "24: `flags`: 'link' is none of balancing_debit"),
        (
            "linked",
            "post_pending",
            "24: `flags`: this form does not say which transfer is posted or voided",
        ),
        (
            "    debit: Wallet",
            "    debit Wallet",
            "20: expected `key: value`, found 'debit Wallet'",
        ),
        ("high", "urgent", "17: `priority` must be one of normal, high, low, critical"),
        (
            "    code: 1",
            "    code: 1\n    code: 2",
            "24: `code` stands here twice, first on line 23",
        ),
        ("sale.id", "sale.id +", "26: transaction record_sale: `idempotency_key`: "),
    ],
)
def test_mistakes_by_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """Each mistake names its file and line and says what is wrong."""
    assert old in SALE
    found = mistakes(tmp_path, SALE.replace(old, new, 1))
    assert any(each.startswith(expected) for each in found), found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """One run names every mistake, in the order of the file."""
    wrong = SALE.replace("2001", "x").replace("amount: sale.amount", "amout: 1")
    assert [each.split(":")[0] for each in mistakes(tmp_path, wrong)] == ["2", "19", "22"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sale.amount", "data.object.sale.amount"),
        ("100", "100"),
        ("sale.amount * 0.80", "data.object.sale.amount * 80 // 100"),
        ("sale.amount * 0.075 + fee", "data.object.sale.amount * 75 // 1000 + data.object.fee"),
        ("sale.amount * 2.0", "data.object.sale.amount * 2"),
        ("sale.amount / 3", "data.object.sale.amount // 3"),
        ("(a + b) // 2", "(data.object.a + data.object.b) // 2"),
        ("sum + count", "data.object.sum + data.object.count"),
        ("max(a.if, 0)", "max(data.object.a.if, 0)"),
        ('sale.status == "paid"', 'data.object.sale.status == "paid"'),
        ("not ok and a in [1, 2]", "not data.object.ok and data.object.a in [1, 2]"),
    ],
)
def test_expressions(text: str, expected: str) -> None:
    """Paths start at the event's object, and decimals become whole numbers."""
    assert translate(text).text == expected


def test_what_the_text_form_has_beside(tmp_path: Path) -> None:
    """Preconditions become `when`, `critical` high, `income` revenue; two currencies stay apart."""
    euros = """
ledger Euros:
  account_code: 1
  ledger_id: 2
  account_type: asset
  currency: EUR
ledger EuroSales:
  account_code: 2
  ledger_id: 2
  account_type: income
  currency: EUR
"""
    more = (
        SALE.replace("high", "critical")
        + """
  transfer euros:
    debit: Euros
    credit: EuroSales
    amount: sale.euros
    code: 2
    flags: pending
  validation:
    - sale.amount > 0
    - sale.status == "paid"
"""
    )
    rulebook = loaded(tmp_path, euros + more)
    (rule,) = rulebook.transactions
    assert text_of(rule.when) == (
        '(data.object.sale.amount > 0) and (data.object.sale.status == "paid")'
    )
    assert (rule.priority, rule.currency) == ("high", None)
    assert rulebook.accounts["euro_sales"].type == "revenue"
    assert [leg.kind for leg in rule.legs] == ["posted", "pending"]
    assert [leg.currency and leg.currency.text for leg in rule.legs] == ['"gbp"', '"eur"']


def test_a_transfer_has_one_ledger(tmp_path: Path) -> None:
    """Money does not go from a ledger to another by one transfer."""
    other = SALE.replace("ledger_id: 1\n  account_type: r", "ledger_id: 2\n  account_type: r")
    found = mistakes(tmp_path, other.replace("GBP\n\nt", "EUR\n\nt"))
    assert found == ["21: Wallet and Sales are on two ledgers: a transfer has one"]


@pytest.mark.parametrize("name", ["stripe-wallets.yaml"])
def test_yaml_stays_yaml(name: str) -> None:
    """The packaged rulebook, with `ledgers:` and `transactions:`, is no text of this form."""
    assert not is_adr_text(PACKAGED.with_name(name).read_text())
    assert not is_adr_text("ledgers:\n  usd: {id: 1, scale: 2}\ntransactions: {}\n")


def test_a_comment_or_another_block_first(tmp_path: Path) -> None:
    """What comes first does not hide the form: another construct of its file is a mistake."""
    assert len(loaded(tmp_path, "# books\n\n" + SALE).accounts) == 2
    assert mistakes(tmp_path, "module billing\n" + SALE) == [
        "1: expected a ledger or transaction, found 'module billing'"
    ]
