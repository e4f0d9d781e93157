"""`rulebook.lock`: what a change may do to the future, and may not do to the past."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.commands import check
from worker.commands.cli import main
from worker.core.errors import UsageError
from worker.rulebooks.load import PACKAGED, load
from worker.rulebooks.lock import approved, changes, lock_path, lock_text, read_lock

LOCKED = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp())
FIRST = "2026-03-12"
"""The first midnight that is a day after the lock."""

RULES = """\
version: 1
ledgers:
  usd: {id: 840, scale: 2}
ignore:
  - customer.*
accounts:
  clearing: {code: 1, type: asset}
  wallet: {code: 2, type: liability, per: customer}
transactions:
  charge:
    on: charge.succeeded
    when: data.object.paid
    currency: usd
    transfers:
      gross:
        debit: clearing
        credit: wallet[data.object.customer]
        amount: data.object.amount
        code: 1
  other:
    on: charge.*
    when: data.object.other
    currency: usd
    transfers:
      gross: {debit: clearing, credit: "wallet[data.object.customer]", amount: 1, code: 2}
"""
CHARGE = RULES[RULES.index("  charge:\n") : RULES.index("  other:\n")]
NEW = CHARGE.replace("  charge:\n", "  new_charge:\n")
UNTIL = f"    until: {FIRST}\n"
FROM = f"    from: {FIRST}\n"


def locked(tmp_path: Path, text: str) -> list[str]:
    """What the lock of RULES says of another text."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    lock_path(path).write_text(lock_text(load(path), date=LOCKED, approver="Ada"))
    lock = read_lock(lock_path(path))
    assert lock is not None
    path.write_text(text)
    return [each.message for each in changes(load(path), lock)]


def ended(text: str, words: str) -> str:
    """A rule with more words under its `when`."""
    return text.replace("    when: data.object.paid\n", f"    when: data.object.paid\n{words}")


FINE = [
    RULES,
    "# a comment\n" + RULES,
    RULES.replace("on: charge.succeeded", "priority: high\n    on: charge.succeeded"),
    RULES.replace(CHARGE, ended(CHARGE, UNTIL) + ended(NEW, FROM).replace("code: 1", "code: 3")),
    RULES + NEW.replace("charge.succeeded", "refund.created"),
    RULES.replace(
        "usd: {id: 840, scale: 2}", "usd: {id: 840, scale: 2}\n  eur: {id: 978, scale: 2}"
    ),
    RULES.replace("type: asset}", "title: Clearing, type: asset}"),
]


@pytest.mark.parametrize("text", FINE)
def test_what_may_change(tmp_path: Path, text: str) -> None:
    """Words, order of urgency, new types, and successors of rules that end a day later."""
    assert locked(tmp_path, text) == []


REFUSED = [
    # what stands there               what is put instead                    says
    ("  charge:\n", "  payment:\n", "charge is gone or renamed"),
    ("      gross:\n        debit", "      main:\n        debit", "its legs were gross"),
    ("amount: data.object.amount", "amount: data.object.net", "would book past events otherwise"),
    ("when: data.object.paid", "when: not data.object.paid", f"with `until: {FIRST}`"),
    ("when: data.object.paid\n", "when: data.object.paid\n    until: 2026-03-11\n",
     f"`until` must be {FIRST} or later"),
    (CHARGE, "", "charge is gone"),
    ("wallet: {code: 2,", "wallet: {code: 3,", "had another code"),
    ("id: 840", "id: 841", "ledger usd was {id: 840"),
    (CHARGE, NEW.replace("object.paid", "object.new") + CHARGE, "events that were charge's"),
    ("transactions:\n", "transactions:\n" + NEW.replace("charge.succeeded", "customer.created"),
     "were ignore customer.*'s"),
]  # fmt: skip


@pytest.mark.parametrize(("there", "instead", "says"), REFUSED)
def test_what_may_not_change(tmp_path: Path, there: str, instead: str, says: str) -> None:
    """Whatever would give past events other ids or other money."""
    assert there in RULES
    found = locked(tmp_path, RULES.replace(there, instead, 1))
    assert any(says in each for each in found), found


def test_order_is_locked(tmp_path: Path) -> None:
    """Rules that share types keep their order: the first match wins."""
    found = locked(tmp_path, RULES.replace(CHARGE, "") + CHARGE)
    assert found == ["transaction other stood after charge"]


def run(*arguments: str) -> int:
    """`check` with these arguments."""
    parser = argparse.ArgumentParser()
    check.configure(parser)
    return check.run(parser.parse_args(arguments))


def test_check_writes_and_keeps_the_lock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--lock writes digest, date and approver; later a refused change exits with 1."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    assert run(str(path), "--lock", "--approver", "Ada Lovelace") == 0
    held = json.loads((tmp_path / "rulebook.lock").read_text())
    assert (held["approver"], held["digest"]) == ("Ada Lovelace", load(path).digest)
    assert held["date"].endswith("Z")
    assert run(str(path)) == 0
    assert "as locked, approved by Ada Lovelace" in capsys.readouterr().out
    path.write_text(RULES.replace("  charge:\n", "  payment:\n"))
    assert run(str(path), "--lock", "--approver", "Eve") == 1
    assert "locked: transaction charge is gone or renamed" in capsys.readouterr().out
    assert json.loads((tmp_path / "rulebook.lock").read_text()) == held
    assert run(str(path), "--json") == 1
    assert json.loads(capsys.readouterr().out)["locked"][0]["line"] == 1


def test_a_lock_needs_an_approver(tmp_path: Path) -> None:
    """Nobody's approval is no approval."""
    with pytest.raises(UsageError, match="--lock needs --approver"):
        run(str(PACKAGED), "--lock", "--approver", " ")
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    lock_path(path).write_text("{}")
    with pytest.raises(UsageError, match="this is no rulebook lock"):
        run(str(path))


def test_a_lock_that_was_changed_by_hand(tmp_path: Path) -> None:
    """It is no lock, whatever part was changed; those of version 1 had no checksum."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    lock = lock_path(path)
    text = lock_text(load(path), date=LOCKED, approver="Ada")
    held = json.loads(text)
    for key in held:
        changed: dict[str, object] = held | {key: "2026-01-01T00:00:00Z" if key == "date" else 7}
        lock.write_text(json.dumps(changed))
        with pytest.raises(UsageError):
            read_lock(lock)
    (first, *_) = held["transactions"].values()
    first["digest"] = "0" * 32
    lock.write_text(json.dumps(held))
    with pytest.raises(UsageError, match="was changed after it was written"):
        read_lock(lock)
    lock.write_text(json.dumps(held | {"version": 1}))
    with pytest.raises(UsageError, match="was changed after it was written"):
        read_lock(lock)
    del held["checksum"]
    lock.write_text(json.dumps(held | {"version": 1}))
    read = read_lock(lock)
    assert read is not None
    assert read.approver == "Ada"


def test_what_may_be_run(tmp_path: Path) -> None:
    """Without a lock anything valid; with one what was approved, or what is told to be fine."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    assert approved(path, load(path), accept_unlocked=False) is None
    lock_path(path).write_text(lock_text(load(path), date=LOCKED, approver="Ada"))
    found = approved(path, load(path), accept_unlocked=False)
    assert found is not None
    assert found.approver == "Ada"
    path.write_text(RULES.replace("customer.*", "customer.*\n  - invoice.*"))
    with pytest.raises(UsageError, match="is not what Ada approved"):
        approved(path, load(path), accept_unlocked=False)
    assert approved(path, load(path), accept_unlocked=True) is not None
    path.write_text(RULES.replace("  charge:\n", "  payment:\n"))
    with pytest.raises(UsageError, match=r"rules.yaml:1: locked: transaction charge is gone"):
        approved(path, load(path), accept_unlocked=True)


def test_run_refuses_what_check_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it asks any server, the worker stops with 2 and says why."""
    path = tmp_path / "rules.yaml"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(path))
    path.write_text(RULES)
    lock_path(path).write_text(lock_text(load(path), date=LOCKED, approver="Ada"))
    for text, says in (
        (RULES.replace("code: 2", "code: 1"), "code 1 is already account clearing's"),
        (RULES.replace("customer.*", "invoice.*"), "is not what Ada approved"),
        (RULES.replace("  charge:\n", "  payment:\n"), "locked: transaction charge is gone"),
    ):
        path.write_text(text)
        assert main(["run"]) == 2
        assert says in capsys.readouterr().err


def test_check_can_ask_for_the_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--require-lock ends with 1 unless the lock is of this very rulebook."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    assert run(str(path), "--require-lock") == 1
    assert "there is no lock: nobody approved" in capsys.readouterr().err
    assert run(str(path), "--require-lock", "--lock", "--approver", "Ada") == 0
    assert run(str(path), "--require-lock") == 0
    path.write_text(RULES.replace("customer.*", "customer.*\n  - invoice.*"))
    assert run(str(path)) == 0
    assert run(str(path), "--require-lock") == 1
    assert "is not what Ada approved" in capsys.readouterr().err


def test_the_page_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--html writes every transaction's T-accounts, escaped, and loads nothing from elsewhere."""
    path, page = tmp_path / "rules.yaml", tmp_path / "page.html"
    path.write_text(RULES.replace("when: data.object.paid", 'when: data.object.paid != "<b>"'))
    assert run(str(path), "--html", str(page)) == 0
    text = page.read_text()
    assert "<caption>Wallet · customer_other</caption>" in text
    assert "&lt;b&gt;" in text
    assert '<a href="#charge">Charge</a>' in text
    assert "<li>rules.yaml:15: warning: leg charge.gross debits clearing" in text
    assert not any(word in text for word in ("http://", "https://", "<script", "<link"))
    assert run(str(PACKAGED), "--html", str(page)) == 0
    for rule in load(PACKAGED).transactions:
        assert f'<section id="{rule.name}">' in page.read_text()
    assert capsys.readouterr().out
