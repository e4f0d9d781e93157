"""Rules in an accountant's words."""

from __future__ import annotations

import pytest

from worker.rulebooks.load import PACKAGED, load
from worker.rulebooks.picture_words import conditions_in_words, direct, sentence
from worker.rulebooks.words import condition_in_words, event_in_words, expression_in_words
from worker.rulebooks.worked_example import ExampleAccount, ExampleMovement, WorkedExample


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("charge.succeeded", "a charge succeeds"),
        ("charge.dispute.closed", "a dispute of a charge is closed"),
        ("application_fee.created", "an application fee is created"),
        ("balance_transaction.created", "Stripe settles an entry on its balance"),
        ("wallet.split_bill", "the app says “split bill”"),
        ("RecordSale", "an event RecordSale comes"),
        ("charge.*", "an event charge.* comes"),
    ],
)
def test_events(kind: str, words: str) -> None:
    """An event's type says what happened."""
    assert event_in_words(kind) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data.object.amount_captured", "amount captured"),
        ("data.object.source.currency", "currency of the source"),
        ("data.object.amount - data.object.fee", "amount less fee"),
        ("-data.object.net", "minus net"),
        ("data.object.amount * 80 // 100", "amount times 80 divided, rounded down, by 100"),
        ("sum(data.object.fee_details[*].amount)", "the sum of amount of the fee details"),
        ('coalesce(data.object.status, "")', "status"),
        ("coalesce(data.object.a, data.object.b)", "a, or if missing b"),
        ("data.object.a if data.object.b > 0 else 0", "a if b is more than 0, else 0"),
        ("item.amount", "amount of the item"),
        ("data.object.all[each.fee < 0].amount", "amount of the all whose fee is less than 0"),
        ("latest(data.object.lines, created).amount", "amount of the latest of lines by created"),
        ("type", "the event"),
    ],
)  # fmt: skip
def test_values(text: str, words: str) -> None:
    """A value is its last key, of what holds it."""
    assert expression_in_words(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data.object.paid", "it is paid"),
        ("not data.object.captured", "it is not captured"),
        (
            "data.object.paid and data.object.customer != null",
            "it is paid, and there is a customer",
        ),
        ("data.object.customer == null", "there is no customer"),
        ('data.object.status in ["won", "lost"]', "status is “won” or “lost”"),
        ('not data.object.status in ["won"]', "status is not “won”"),
        ('type == "charge.captured"', "a charge is captured"),
        ('type in ["payout.failed", "payout.canceled"]', "a payout fails or a payout is canceled"),
        ('"acct_" in data.object.destination', "destination contains “acct_”"),
        ("min(data.object.lines[*].at) == null", "the smallest of at of the lines is missing"),
    ],
)
def test_conditions(text: str, words: str) -> None:
    """A condition reads as what must be so."""
    assert condition_in_words(text) == words


def test_every_rule_of_the_packaged_rulebook_has_words() -> None:
    """No path, operator or function of the language is left in a sentence."""
    rulebook = load(PACKAGED)
    for rule in rulebook.transactions:
        said = " ".join((sentence(rule, None, rulebook.accounts), *conditions_in_words(rule)))
        assert not any(each in said for each in ("data.object", "==", "coalesce", "[")), said


def test_a_sentence_leaves_out_the_control_account() -> None:
    """What goes through the control account is told from where it came to where it went."""
    wallet, control = ExampleAccount("wallet", "ann"), ExampleAccount("shortfall_control", "")
    bank, loss = ExampleAccount("bank", ""), ExampleAccount("loss", "")

    def moved(leg: str, debit: ExampleAccount, credit: ExampleAccount) -> ExampleMovement:
        return ExampleMovement(leg, debit, credit, "1.00", "USD", "posted")

    accounts = load(PACKAGED).accounts
    movements = (
        moved("taken", control, bank),
        moved("taken.account", wallet, control),
        moved("taken.shortfall", loss, control),
    )
    assert [(each.debit, each.credit) for each in direct(movements, accounts)] == [
        (wallet, bank),
        (loss, bank),
    ]
    repaid = (moved("back", bank, control), moved("back.account", control, wallet))
    assert [(each.debit, each.credit) for each in direct(repaid, accounts)] == [(bank, wallet)]


def test_a_sentence_has_the_numbers_of_its_example() -> None:
    """When the example's event comes, its amounts move between accounts by their titles."""
    rulebook = load(PACKAGED)
    rule = next(each for each in rulebook.transactions if each.name == "p2p")
    ann, ben = (ExampleAccount("customer_wallet", key) for key in ("ann", "ben"))
    movement = ExampleMovement("payment", ann, ben, "4.20", "USD", "posted")
    example = WorkedExample("wallet.p2p", (), (movement,))
    assert sentence(rule, example, rulebook.accounts) == (
        "When the app says “p2p”, 4.20 USD moves from Customer wallet of ann (debit)"
        " to Customer wallet of ben (credit)."
    )
