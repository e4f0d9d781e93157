"""`ledger-worker check`: what it prints and how it exits."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from worker.commands import check
from worker.rulebooks.load import PACKAGED, load

RULES = """\
version: 1
ledgers:
  usd: {id: 840, scale: 2}
accounts:
  clearing: {code: 1, type: asset, clearing: false}
  wallet: {code: 2, type: liability, per: customer}
  owed: {code: 3, type: asset, per: customer}
  unused: {code: 4, type: asset}
  shortfall_control: {code: 5, type: liability}
transactions:
  take:
    on: [wallet.take, wallet.grab]
    when: data.object.yes
    from: 2025-01-01
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: usd
    transfers:
      taken:
        debit: wallet[data.object.customer]
        credit: clearing
        amount: data.object.amount
        shortfall: owed
        code: 5
      fee:
        when: data.object.fee > 0
        debit: wallet[data.object.customer]
        credit: clearing
        amount: data.object.fee
        code: 6
"""

PICTURE = """\
take: wallet.take, wallet.grab
  when data.object.yes
  from 2025-01-01T00:00:00Z
  once per data.object.id at data.object.created
                                                debit | credit
    shortfall_control                           taken | taken.account, taken.shortfall
    clearing                                          | taken, fee
    wallet[data.object.customer]   taken.account, fee |
    owed[data.object.customer]        taken.shortfall |
  taken: data.object.amount, code 5
  fee: data.object.fee, when data.object.fee > 0, code 6
"""


def run(*arguments: str) -> int:
    """The command with these arguments."""
    parser = argparse.ArgumentParser()
    check.configure(parser)
    return check.run(parser.parse_args(arguments))


def rules(tmp_path: Path, text: str = RULES) -> Path:
    """A rulebook file."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    return path


def test_valid_rulebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A valid file gives its warnings, its digest and the T-accounts, and exits with 0."""
    path = rules(tmp_path)
    assert run(str(path)) == 0
    printed = capsys.readouterr().out
    assert f"{path}:8: warning: account unused is never used" in printed
    assert load(path).digest in printed
    assert printed.endswith(PICTURE)


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with mistakes gives each as file:line: message on stderr, and exits with 2."""
    path = rules(tmp_path, RULES.replace("code: 2,", "code: 1,").replace("amount: d", "amount: x"))
    assert run(str(path)) == 2
    printed = capsys.readouterr()
    lines = printed.err.rstrip("\n").split("\n")
    assert [line.split(": ")[0] for line in lines] == [f"{path}:{n}" for n in (6, 22, 29)]
    assert not printed.out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the result is one JSON object, valid or not."""
    assert run(str(rules(tmp_path)), "--json") == 0
    good = json.loads(capsys.readouterr().out)
    assert (good["valid"], good["transactions"]) == (True, ["take"])
    assert good["warnings"] == [{"line": 8, "message": "account unused is never used"}]
    assert run(str(rules(tmp_path, "version: 2")), "--json") == 2
    bad = json.loads(capsys.readouterr().out)
    assert bad["valid"] is False
    assert any("rules.yaml:1: rulebook: this worker reads version 1" in m for m in bad["mistakes"])


def test_default_is_the_rulebook_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a file the one that settings name is checked, the packaged one by default."""
    monkeypatch.chdir(tmp_path)
    assert run() == 0
    assert str(PACKAGED) in capsys.readouterr().out
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(rules(tmp_path)))
    assert run() == 0
    assert "rules.yaml: valid" in capsys.readouterr().out
