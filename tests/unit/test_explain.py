"""`ledger-worker explain`: the chain of one event, or why there is none."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from worker.commands import explain
from worker.core.chain import Chain
from worker.core.errors import UsageError
from worker.core.event import Event
from worker.core.ids import account_id, hex_id
from worker.core.packing import pack_chain
from worker.core.translate import Translator
from worker.ledger.open import open_ledger
from worker.rulebooks.load import PACKAGED, load

CHARGE: dict[str, Any] = {
    "id": "evt_1",
    "type": "charge.succeeded",
    "created": 1_700_000_000,
    "livemode": False,
    "data": {
        "object": {
            "id": "ch_1",
            "created": 1_700_000_000,
            "amount": 1250,
            "currency": "usd",
            "customer": "cus_1",
            "paid": True,
            "captured": True,
        }
    },
}


def changed(**changes: object) -> dict[str, Any]:
    """The charge with other fields."""
    return {**CHARGE, "data": {"object": {**CHARGE["data"]["object"], **changes}}}


def run(tmp_path: Path, event: object, *arguments: str) -> int:
    """The command on an event's file."""
    path = tmp_path / "event.json"
    path.write_text(event if isinstance(event, str) else json.dumps(event))
    parser = argparse.ArgumentParser()
    explain.configure(parser)
    return explain.run(parser.parse_args([str(path), *arguments]))


def explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], event: object, *arguments: str
) -> dict[str, Any]:
    """The command's JSON."""
    assert run(tmp_path, event, "--json", *arguments) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person reads which rule answers, why others do not, and every leg in major units."""
    assert run(tmp_path, CHARGE) == 0
    printed = capsys.readouterr().out
    assert "event evt_1, charge.succeeded, 2023-11-14T22:13:20Z, on payments" in printed
    assert "  charge: yes\n" in printed
    assert " other transactions for other types\nposts charge, key charge/ch_1, 1 tr" in printed
    assert "  should an account be closed: by way of suspense" in printed
    assert "0. gross: 12.50 USD, code 1" in printed
    assert "debit  stripe_unsettled  " in printed
    wallet = hex_id(account_id(ledger=840, name="customer_wallet", key="cus_1"))
    assert f"credit customer_wallet[cus_1]  {wallet}" in printed


def test_json_of_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for machines: ids as hex, amounts as decimal strings of minor units."""
    found = explained(tmp_path, capsys, changed(customer=None))
    assert (found["outcome"], found["transaction"], found["role"]) == (
        "posts", "charge", "payments",
    )  # fmt: skip
    assert found["rules"][0] == {"transaction": "charge", "verdict": "yes"}
    leg = found["legs"][0]
    assert (leg["amount"], leg["major_amount"], leg["currency"]) == ("1250", "12.50 USD", "usd")
    assert len(leg["id"]) == 32
    assert leg["credit"]["name"] == "unallocated"


OTHERS = [
    # event                                    outcome            says
    (changed(captured=False), "ignored", ""),
    (changed(amount=0), "nothing_to_post", ""),
    (changed(amount=-1), "dead", "is negative"),
    ({**CHARGE, "type": "charge.teleported"}, "dead", "no transaction answers this type"),
    ({"id": "evt_1"}, "dead", "type"),
    ("\x01bytes", "dead", "neither Avro"),
]


@pytest.mark.parametrize(("event", "outcome", "says"), OTHERS)
def test_no_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], event: object, outcome: str, says: str
) -> None:
    """An event without a chain says what becomes of it and why."""
    found = explained(tmp_path, capsys, event)
    assert found["outcome"] == outcome
    assert says in found.get("detail", "")
    assert run(tmp_path, event) == 0
    printed = capsys.readouterr().out
    assert (outcome.replace("_", " ") if outcome != "dead" else "dead letter, ") in printed


def feed(category: str) -> dict[str, Any]:
    """A balance transaction of a kind."""
    about = {"id": "txn_1", "created": 1_700_000_000, "reporting_category": category,
             "amount": 5, "net": 5, "currency": "usd"}  # fmt: skip
    return {**CHARGE, "type": "balance_transaction.created", "data": {"object": about}}


UNCAPTURED = changed(captured=False)
PAID = {**CHARGE, "type": "wallet.withdrawal_paid"}
LOST = {"id": "dp_1", "created": 1, "amount": 1250, "currency": "usd", "status": "lost",
        "charge": "ch_1"}  # fmt: skip
WHY = [
    # event                                  says
    (UNCAPTURED, '  charge: no: `data.object.captured or type == "charge.updated"` is false'),
    (UNCAPTURED, "ignored, by the entry charge.succeeded when not data.object.captured"),
    ({**CHARGE, "type": "payment_intent.created"}, "ignored, by the entry payment_intent.*"),
    (feed("tax"), '  stripe_fee: no: `category in ["fee", "network_cost"]` is false'),
    (feed("new"), "  with an alert: the settlement feed has a category that no rule names"),
    ({**CHARGE, "type": "charge.dispute.closed", "data": {"object": LOST}},
     "up to 12.50 USD, the debits less credits of the credited"),
    (PAID, "     of     withdrawal.reserve  018bcfe568"),
    (PAID, "0. release (post): 12.50 USD, code as reserved"),
    ({**PAID, "type": "wallet.withdrawal_failed"}, "release (void): all USD, code as reserved"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "says"), WHY)
def test_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], event: dict[str, Any], says: str
) -> None:
    """What matched is named, and of what did not the first part that is false, with its value."""
    assert run(tmp_path, event) == 0
    assert says in capsys.readouterr().out


def test_undecided_rule_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule whose condition cannot be told ends the search, and says which field it needs."""
    event = changed()
    del event["data"]["object"]["paid"]
    found = explained(tmp_path, capsys, event)
    assert found["rules"][0]["verdict"] == "cannot tell: data.object.paid is missing"
    assert (found["outcome"], found["reason"]) == ("dead", "missing_field")


def test_role(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The role is the one that may carry the type, unless another is asked for."""
    p2p = {**CHARGE, "type": "wallet.p2p"}
    assert explained(tmp_path, capsys, p2p)["role"] == "commands"
    found = explained(tmp_path, capsys, p2p, "--role", "payments")
    assert (found["outcome"], found["reason"]) == ("dead", "wrong_topic")


def test_unclear_role_is_a_usage_error(tmp_path: Path) -> None:
    """A type that no listed topic or several may carry needs --role."""
    rules = tmp_path / "rules.yaml"
    text = explain_rules()
    rules.write_text(text)
    with pytest.raises(UsageError, match="one and two may carry this type: say --role"):
        run(tmp_path, CHARGE, "--rulebook", str(rules))
    rules.write_text(text.replace("charge.*", "refund.*"))
    with pytest.raises(UsageError, match="no topic that the rulebook lists may carry"):
        run(tmp_path, CHARGE, "--rulebook", str(rules))


def explain_rules() -> str:
    """Two topics that carry the same types."""
    return """\
version: 1
ledgers:
  usd: {id: 840, scale: 2}
topics:
  one: {types: ["charge.*"]}
  two: {types: ["charge.*"]}
accounts:
  a: {code: 1, type: asset}
  b: {code: 2, type: asset}
transactions:
  t:
    on: charge.succeeded
    currency: usd
    transfers:
      x: {debit: a, credit: b, amount: data.object.amount, code: 1}
"""


def test_settings_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the worker's settings refuse, explain refuses too."""
    monkeypatch.setenv("LEDGER_WORKER_EVENTS__LIVEMODE", "true")
    found = explained(tmp_path, capsys, CHARGE)
    assert (found["outcome"], found["reason"]) == ("dead", "wrong_mode")


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dash reads the event from standard input; a post shows all that it takes."""
    withdrawal = {"id": "w", "created": 5, "customer": "c", "amount": 70, "currency": "jpy"}
    event = {**CHARGE, "type": "wallet.withdrawal_failed", "data": {"object": withdrawal}}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(event).encode())))
    parser = argparse.ArgumentParser()
    explain.configure(parser)
    assert explain.run(parser.parse_args(["-"])) == 0
    printed = capsys.readouterr().out
    assert "0. release (void): all JPY" in printed
    assert "(or a later attempt)" in printed


def test_missing_file() -> None:
    """A file that is not there is one clear sentence."""
    parser = argparse.ArgumentParser()
    explain.configure(parser)
    with pytest.raises(UsageError, match=r"nowhere\.json cannot be read"):
        explain.run(parser.parse_args(["nowhere.json"]))


REFUND = {"id": "re_1", "created": 1_700_000_005, "amount": 1000, "currency": "usd",
          "charge": "ch_1", "status": "succeeded"}  # fmt: skip


def test_what_a_refund_waits_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the ledger an origin's accounts show as the rulebook writes them."""
    refund = {**CHARGE, "type": "refund.created", "data": {"object": REFUND}}
    assert run(tmp_path, refund) == 0
    printed = capsys.readouterr().out
    assert "  refund: yes\n  refund_without_charge: not asked: refund came first\n" in printed
    assert "  origin charge 79ea8ff10ff264b059d1d3c2be2650db" in printed
    assert "debit  origin.gross.credit else opening_balances\n" in printed


def test_balances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --balances the ledger says which wallet a refund takes from, and what is in it."""
    ledger = f"embedded:{tmp_path / 'ledger'}"
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", ledger)
    refund = {**CHARGE, "type": "refund.created", "data": {"object": REFUND}}
    found = explained(tmp_path, capsys, refund, "--balances")
    assert (found["outcome"], found["reason"]) == ("dead", "predecessor_missing")
    _post_the_charge(ledger)
    found = explained(tmp_path, capsys, refund, "--balances")
    taken = next(leg for leg in found["legs"] if leg["leg"] == "principal.account")
    assert (taken["debit"]["name"], taken["debit"]["key"]) == ("customer_wallet", "cus_1")
    assert taken["debit"]["balance"]["posted"] == "12.50"
    assert found["in_ledger"] == 0
    assert explained(tmp_path, capsys, CHARGE, "--balances")["in_ledger"] == 1
    assert run(tmp_path, CHARGE, "--balances") == 0
    assert "  1 transfer with these ids in the ledger already\n" in capsys.readouterr().out
    assert run(tmp_path, refund, "--balances") == 0
    printed = capsys.readouterr().out
    assert "holds 12.50 USD" in printed
    assert "not there yet: made on first use" in printed


def _post_the_charge(addresses: str) -> None:
    """The charge, in the ledger that `addresses` names."""
    ledger = open_ledger(addresses=addresses, cluster_id=0, deadline_seconds=None)
    event = Event("evt_1", "charge.succeeded", 1_700_000_000, CHARGE)
    chain = Translator(load(PACKAGED)).translate(event, role="payments")
    assert isinstance(chain, Chain)
    ledger.create_accounts(b"".join(ref.row() for ref in chain.accounts()))
    ledger.create_transfers(pack_chain(chain, position=1, pending={}))
    ledger.close()


def test_a_wrapped_record_is_read_under_the_role_that_unwraps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several roles, the one whose envelope fits; without any the line that would."""
    wrapped = {"detail-type": "x", "source": "y", "detail": CHARGE}
    found = explained(tmp_path, capsys, wrapped)
    assert (found["outcome"], found["fits"]) == ("dead", "envelope: eventbridge")
    rules = tmp_path / "rules.yaml"
    topic = "  payments: {"
    assert topic in PACKAGED.read_text()
    bridge = PACKAGED.read_text().replace(topic, f"{topic}envelope: eventbridge, ", 1)
    rules.write_text(bridge)
    found = explained(tmp_path, capsys, wrapped, "--rulebook", str(rules))
    assert (found["outcome"], found["role"]) == ("posts", "payments")
    assert run(tmp_path, CHARGE, "--rulebook", str(rules)) == 0
    printed = capsys.readouterr().out
    assert "it would fit this entry of its topic in the rulebook: envelope: stripe" in printed


FITS = [
    # the event                                  the entry
    (changed(amount="1250"), "envelope: stripe, lenient: true"),
    (changed(amount=-1), ""),
    ({"body": json.dumps(CHARGE)}, "envelope: {path: body, text: true}"),
    ({"body": json.dumps(changed(currency="USD"))}, "envelope: {path: body, text: true}, lenient"),
    (CHARGE["data"]["object"] | {"object": "charge"}, "envelope: object"),
    ("\x01bytes", ""),
]


@pytest.mark.parametrize(("event", "entry"), FITS)
def test_what_would_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], event: object, entry: str
) -> None:
    """A dead letter that an entry of the rulebook would have saved says which; others say none."""
    found = explained(tmp_path, capsys, event, "--role", "payments")
    assert found["outcome"] == "dead"
    assert found["fits"].startswith(entry)
    assert bool(found["fits"]) is bool(entry)
