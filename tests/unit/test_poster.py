"""The poster on an embedded ledger: refusals, redeliveries, conflicts, and what is announced."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from worker.core.assignment import Assignment
from worker.core.chain import AccountRef, Chain
from worker.core.event import Event, Reason
from worker.core.ids import account_id
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.packing import pack_chain
from worker.core.ports import Record
from worker.core.translate import Translator
from worker.core.wire import (
    ROW_BYTES,
    Account,
    CreateResult,
    QueryFilter,
    Transfer,
    TransferFlags,
    pack_account,
    pack_transfer,
)
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import load
from worker.stages.item import Item
from worker.stages.post.poster import Poster
from worker.stages.post.readback import PostedLegs

RULES = """
version: 1
ledgers: {usd: {id: 840, scale: 2}}
accounts:
  bank: {code: 1, type: asset}
  fees: {code: 2, type: revenue}
  lost: {code: 3, type: liability}
  wallet:
    {code: 5, type: liability, per: customer, flags: [debits_must_not_exceed_credits, history]}
transactions:
  paid_in:
    on: paid_in
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: usd
    transfers:
      gross: {debit: bank, credit: "wallet[data.object.customer]", amount: data.object.amount,
        code: 1, suspense: lost}
      fee: {debit: "wallet[data.object.customer]", credit: fees, amount: 1, code: 2}
  given_in:
    on: given_in
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: usd
    transfers:
      gross: {debit: bank, credit: "wallet[data.object.customer]", amount: data.object.amount,
        code: 3}
  moved:
    on: moved
    currency: usd
    transfers:
      amount: {debit: "wallet[data.object.from]", credit: "wallet[data.object.to]",
        amount: data.object.amount, code: 4}
  taken_back:
    on: taken_back
    currency: usd
    origin: {transaction: [paid_in, given_in], key: data.object.of, time: data.object.created}
    transfers:
      back: {debit: origin.gross.credit, credit: bank, amount: 1, code: 6}
  many:
    on: many
    currency: usd
    transfers:
      leg: {for_each: data.object.amounts, debit: bank, credit: fees, amount: item, code: 7}
"""
LEGS_MAX = 4
REQUESTS_MAX = 200
GIVEN = """gross: {debit: bank, credit: "wallet[data.object.customer]", amount: data.object.amount,
        code: 3}"""


class PatientLedger(EmbeddedLedger):
    """Takes so many requests at most: a poster that never ends is a failure and no pause."""

    def create_transfers(self, batch: bytes) -> list[CreateResult]:
        self._taken = getattr(self, "_taken", 0) + 1
        assert self._taken <= REQUESTS_MAX, "the poster does not come to an end"
        return super().create_transfers(batch)


class Posting:
    """One ledger and poster; every event comes as the next record of one partition."""

    def __init__(
        self, folder: Path, rules: str = RULES, ledger: EmbeddedLedger | None = None
    ) -> None:
        path = folder / f"{len(list(folder.iterdir()))}.yaml"
        path.write_text(rules)
        self.ledger = ledger or PatientLedger(batch_max=LEGS_MAX)
        self.translator = Translator(load(path))
        self.poster = Poster(self.ledger, self.translator, parked_max=2)
        self.partition = Assignment("t", 0, "", 1 << 40, until=1 << 30)
        self.offsets = count()

    def item(
        self, kind: str, *, event: str = "", attempts: int = 0, at: int = -1, **of: Any
    ) -> Item:
        """An event as the next record, or as the one at an offset."""
        offset = next(self.offsets) if at < 0 else at
        body = {"data": {"object": {"created": 1000, **of}}}
        told = Event(event or f"evt_{offset}", kind, 1000, body)
        translated = self.translator.translate(told, role="")
        return Item(cast("Record", None), self.partition, offset, 1, "", translated, attempts)

    def post(self, kind: str, **of: Any) -> Outcome:
        """What became of one event."""
        (outcome,) = self.poster.post([self.item(kind, **of)])
        return outcome

    def pay_in(self, customer: str = "a", amount: int = 100, **more: Any) -> Outcome:
        """A payment into a wallet; its fact is `of` unless told."""
        return self.post("paid_in", **{"id": "p", "customer": customer, "amount": amount, **more})

    def stored(self) -> list[Transfer]:
        """All transfers, by time."""
        return self.ledger.query_transfers(QueryFilter())

    def wallet(self, customer: str) -> int:
        """What a wallet holds."""
        (found,) = self.ledger.lookup_accounts(
            [account_id(ledger=840, name="wallet", key=customer)]
        )
        return found.credits_posted - found.debits_posted


@pytest.fixture
def posting(tmp_path: Path) -> Posting:
    return Posting(tmp_path)


def overdraft(posting: Posting, **more: Any) -> Outcome:
    """A payment that nobody can make."""
    return posting.post("moved", event="evt_over", **{"from": "x", "to": "y", "amount": 5}, **more)


@pytest.mark.parametrize(
    ("redo", "tries", "announced"),
    [(-1, 0, False), (6, 0, False), (7, 0, True), (8, 0, True), (-1, 1, True)],
)
def test_an_earlier_refusal_is_announced_up_to_redo(
    posting: Posting, redo: int, tries: int, *, announced: bool
) -> None:
    """Up to redo, or after parking, its announcement may be missing; beyond it only counts."""
    assert overdraft(posting, at=7).kind is OutcomeKind.REJECTED
    posting.partition.redo, posting.partition.tries = redo, tries
    again = overdraft(posting, at=7)
    assert again.kind is (OutcomeKind.REJECTED if announced else OutcomeKind.REDELIVERED)
    assert (again.rejection.reason if again.rejection else "") == "rejected_before" * announced


def test_a_refusal_that_a_later_attempt_made_good_is_not_told_again(posting: Posting) -> None:
    """The chain is in the ledger under another attempt: the event was posted after all."""
    overdraft(posting, at=1)
    posting.pay_in("x")
    assert overdraft(posting, at=2, attempts=1).attempt == 1
    posting.partition.redo = 9
    again = overdraft(posting, at=1)
    assert (again.kind, again.rejection) == (OutcomeKind.REDELIVERED, None)


def test_each_attempt_is_tried_in_turn_and_the_first_that_posts_is_the_outcome(
    posting: Posting,
) -> None:
    """Attempts from 0 on, one request each, and never one more than was asked for."""
    assert overdraft(posting, attempts=0).attempt == 0
    assert overdraft(posting, attempts=3).attempt == 3
    posting.pay_in("x")
    outcome = overdraft(posting, attempts=7)
    assert (outcome.kind, outcome.attempt) == (OutcomeKind.POSTED, 4)
    assert overdraft(posting, attempts=7).kind is OutcomeKind.REDELIVERED


def test_half_a_chain_is_other_money(posting: Posting) -> None:
    """One leg of an event under its own id, without the others, is a conflict: nobody booked it."""
    item = posting.item("paid_in", id="p", customer="a", amount=100)
    assert isinstance(item.translated, Chain)
    posting.pay_in("a", id="other")
    first = pack_chain(item.translated, position=9, pending={})[:ROW_BYTES]
    end = Transfer(
        id=1, debit_account_id=_bank(), credit_account_id=_wallet("a"), amount=1, ledger=840, code=9
    )
    statuses = posting.ledger.create_transfers(first + pack_transfer(end))
    assert len({one.status for one in statuses}) == 1
    (outcome,) = posting.poster.post([item])
    assert outcome.kind is OutcomeKind.CONFLICT


def test_a_chain_of_as_many_legs_as_a_request_takes_is_sent_and_one_more_is_not(
    posting: Posting,
) -> None:
    """The bound, and one beyond it."""
    assert posting.post("many", amounts=[1] * LEGS_MAX).kind is OutcomeKind.POSTED
    outcome = posting.post("many", amounts=[1] * (LEGS_MAX + 1))
    assert outcome.dead
    assert outcome.dead.reason is Reason.TOO_MANY_LEGS
    assert len(posting.stored()) == LEGS_MAX


def test_an_account_that_is_held_otherwise_takes_no_money_ever(posting: Posting) -> None:
    """Its events are conflicts, the second and third one too; the batch's others are posted."""
    other = Account(id=_wallet("a"), ledger=840, code=9)
    posting.ledger.create_accounts(pack_account(other))
    for number in range(3):
        items = [
            posting.item("paid_in", id=f"a{number}", customer="a", amount=10),
            posting.item("paid_in", id=f"b{number}", customer="b", amount=10),
        ]
        refused, posted = posting.poster.post(items)
        assert refused.dead
        assert (refused.kind, posted.kind) == (OutcomeKind.CONFLICT, OutcomeKind.POSTED)
        assert "account wallet differs" in refused.dead.detail
    sides = [(one.debit_account_id, one.credit_account_id) for one in posting.stored()]
    assert _wallet("a") not in {account for pair in sides for account in pair}


@pytest.mark.parametrize("name", ["bank", "fees"])
def test_either_side_of_any_leg_may_be_the_account_that_is_held_otherwise(
    posting: Posting, name: str
) -> None:
    """Only ever debited, or only ever credited: nothing of the chain is posted."""
    other = Account(id=account_id(ledger=840, name=name, key=""), ledger=840, code=9)
    posting.ledger.create_accounts(pack_account(other))
    for number in range(2):
        outcome = posting.pay_in("a", id=f"a{number}")
        assert outcome.dead
        assert outcome.kind is OutcomeKind.CONFLICT
        assert f"account {name} differs" in outcome.dead.detail
    assert posting.stored() == []


def test_a_closed_account_diverts_once(posting: Posting) -> None:
    """The whole chain goes again with its suspense leg diverted; what fails then is the outcome."""
    posting.pay_in("a")
    close(posting, "a")
    outcome = posting.pay_in("a", id="q")
    assert outcome.rejection
    assert outcome.rejection.reason == "debit_account_already_closed"
    assert outcome.rejection.leg == "fee.suspense"


def test_a_diverted_chain_is_not_diverted_again(posting: Posting) -> None:
    """To suspense once and no further: else a closed suspense account would have no end."""
    translated = posting.item("paid_in", id="p", customer="a", amount=100).translated
    assert isinstance(translated, Chain)
    assert (translated.suspends, translated.diverted) == (True, False)
    diverted = posting.translator.translate(translated.event, role="", diverted=True)
    assert isinstance(diverted, Chain)
    assert (diverted.suspends, diverted.diverted) == (False, True)


def test_a_diverted_chain_is_found_again_as_diverted(tmp_path: Path) -> None:
    """A redelivery of what went to suspense is a redelivery, and is not refused or posted twice."""
    posting = Posting(
        tmp_path, RULES.replace('fee: {debit: "wallet[data.object.customer]"', "fee: {debit: bank")
    )
    posting.pay_in("a")
    close(posting, "a")
    first = posting.pay_in("a", id="q")
    assert (first.kind, [leg.credit.name for leg in first.legs]) == (
        OutcomeKind.POSTED,
        ["lost", "fees"],
    )
    assert first.alert
    before = posting.stored()
    assert posting.pay_in("a", id="q").kind is OutcomeKind.REDELIVERED
    assert posting.stored() == before


def test_what_an_earlier_rulebook_posted_is_announced_as_it_is_stored(tmp_path: Path) -> None:
    """By this very record, unannounced: accounts, amounts and codes are the ledger's, not ours."""
    ledger = EmbeddedLedger()
    earlier = RULES.replace(GIVEN, "gross: {debit: bank, credit: fees, amount: 100, code: 30}")
    before = Posting(tmp_path, earlier, ledger)
    after = Posting(tmp_path, RULES, ledger)
    told = {"id": "g", "customer": "a", "amount": 100, "at": 3}
    before.post("given_in", **told)
    outcome = after.post("given_in", **told)
    (leg,) = outcome.legs
    assert outcome.kind is OutcomeKind.POSTED
    assert "earlier rulebook" in outcome.alert
    assert (leg.credit.name, leg.code, leg.amount) == ("fees", 30, 100)
    after.partition.since = leg.timestamp
    counted = after.post("given_in", **told)
    assert (counted.kind, counted.legs) == (OutcomeKind.REDELIVERED, ())
    elsewhere = after.post("given_in", **{**told, "at": 4})
    assert elsewhere.kind is OutcomeKind.CONFLICT


def test_only_this_record_s_legs_are_announced(tmp_path: Path) -> None:
    """Where two records posted under one key, each answers for its own legs."""
    ledger = EmbeddedLedger()
    rules = RULES.replace(GIVEN, GIVEN.replace("gross", "net"))
    one = Posting(tmp_path, rules.replace("[paid_in, given_in]", "paid_in"), ledger)
    other = Posting(tmp_path, RULES, ledger)
    third = Posting(tmp_path, RULES.replace(GIVEN, GIVEN.replace("3}", "33}")), ledger)
    told = {"id": "g", "customer": "a", "amount": 100}
    one.post("given_in", **told, at=1)
    other.post("given_in", **told, at=2)
    outcome = third.post("given_in", **told, at=2)
    assert [(leg.amount, leg.code) for leg in outcome.legs] == [(100, 3)]


@pytest.mark.parametrize(("there", "wallet"), [("paid_in given_in", "p"), ("given_in", "g")])
def test_the_first_predecessor_that_is_there_counts(
    posting: Posting, there: str, wallet: str
) -> None:
    """An origin that may be one of several is the first of them in the rule's order."""
    for kind in reversed(there.split()):
        posting.post(kind, id="same", customer=kind[0], amount=10)
    posting.post("taken_back", of="same")
    assert posting.wallet(wallet) == {"p": 8, "g": 9}[wallet]


@pytest.mark.parametrize(("tries", "kind"), [(0, "parked"), (1, "parked"), (2, "dead")])
def test_what_never_comes_is_waited_for_so_often(posting: Posting, tries: int, kind: str) -> None:
    """parked_max times and no more."""
    posting.partition.tries = tries
    assert posting.post("taken_back", of="nobody").kind == kind


def test_names_are_read_anew_when_the_memory_of_them_is_full(posting: Posting) -> None:
    """However few names are remembered, every account is named as it is."""
    for number in range(9):
        posting.post("paid_in", id=f"p{number}", customer=f"c{number}", amount=10)
    legs = PostedLegs(posting.ledger, posting.translator, named_max=4)
    for number in (0, 8, 1, 7, 0, 0, 3):
        wanted = {_wallet(f"c{number}"): f"c{number}", _bank(): ""}
        assert {one: ref.key for one, ref in legs.account_refs(wanted).items()} == wanted
        assert len(legs._named) <= 4


def test_every_field_of_a_posted_leg_is_what_the_ledger_holds(posting: Posting) -> None:
    """An announcement made from what was asked equals one made from what is stored."""
    outcome = posting.pay_in("a", at=5)
    held = {one.id: one for one in posting.stored()}
    assert len(outcome.legs) == 2
    for number, leg in enumerate(outcome.legs):
        transfer = held[leg.id]
        assert (leg.leg_number, leg.leg_count) == (number, 2)
        assert transfer.user_data_32 == number << 16 | 2
        assert _fields(leg.debit, leg.credit, leg) == {
            "debit": transfer.debit_account_id,
            "credit": transfer.credit_account_id,
            "amount": transfer.amount,
            "pending_id": transfer.pending_id,
            "code": transfer.code,
            "flags": transfer.flags,
            "timestamp": transfer.timestamp,
            "ledger": transfer.ledger,
        }
    assert [leg.flags & TransferFlags.LINKED for leg in outcome.legs] == [TransferFlags.LINKED, 0]


def _fields(debit: AccountRef, credit: AccountRef, leg: Any) -> Mapping[str, int]:
    return {
        "debit": debit.id,
        "credit": credit.id,
        "ledger": leg.currency.ledger,
        **{
            name: getattr(leg, name)
            for name in ["amount", "pending_id", "code", "flags", "timestamp"]
        },
    }


def _bank() -> int:
    return account_id(ledger=840, name="bank", key="")


def _wallet(customer: str) -> int:
    return account_id(ledger=840, name="wallet", key=customer)


def close(posting: Posting, customer: str) -> None:
    """As an operator does: a pending transfer of nothing with the closing flag."""
    flags = int(TransferFlags.PENDING | TransferFlags.CLOSING_CREDIT)
    closing = Transfer(
        id=2, debit_account_id=_bank(), credit_account_id=_wallet(customer), amount=0, ledger=840,
        code=1, flags=flags,
    )  # fmt: skip
    posting.ledger.create_transfers(pack_transfer(closing))
