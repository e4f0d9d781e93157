"""The reads as people call them, on a ledger with a day of traffic in it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fastavro import reader

from tests.jobs.reports.played import Played
from worker.commands.cli import main
from worker.config.settings import Settings
from worker.jobs.reports.balances import stored_accounts
from worker.jobs.reports.statement import signed, statement
from worker.ledger.books import NamedLedger
from worker.ledger.embedded import EmbeddedLedger
from worker.ledger.scan import account_transfers
from worker.rulebooks.load import load

pytestmark = pytest.mark.usefixtures("ledger_settings")
OUTBOX = "ledger.transfers.posted"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def announced(day: Played) -> list[dict[str, Any]]:
    return [json.loads(record.value() or b"") for record in day.records[OUTBOX]]


def wallet_sums(day: Played, until: str = "9999") -> dict[tuple[str, str], int]:
    """Posted wallet balances by key and currency, from the outbox alone."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for one in announced(day):
        if one["kind"] in {"posted", "post"} and one["posted_at"] < until:
            for side, sign in (("debit", -1), ("credit", 1)):
                if one[f"{side}_account"] == "customer_wallet":
                    sums[one[f"{side}_key"], one["currency"]] += sign * int(one["amount"])
    return sums


def busiest(day: Played) -> tuple[str, str]:
    lines: dict[tuple[str, str], int] = defaultdict(int)
    for one in announced(day):
        if one["debit_account"] == "customer_wallet":
            lines[one["debit_key"], one["currency"]] += 1
    return max(lines, key=lambda key: lines[key])


def test_balances_are_those_of_the_outbox(day: Played, capsys: pytest.CaptureFixture[str]) -> None:
    """Every wallet's balance is what its announced transfers add up to."""
    found = told(capsys, "balances", "customer_wallet")["accounts"]
    shown = {(one["key"], one["currency"]): int(one["posted"]) for one in found}
    expected = wallet_sums(day)
    assert len(expected) > 10
    assert {key: shown[key] for key in expected} == expected


def test_one_balance_as_text(day: Played, capsys: pytest.CaptureFixture[str]) -> None:
    """A key and a currency leave one line."""
    key, currency = busiest(day)
    assert main(["balances", "customer_wallet", key, "--currency", currency]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("balances as of 20")
    assert lines[3].split()[:3] == ["customer_wallet", key, currency]
    assert lines[4].startswith(f"total of 1 customer_wallet, {currency}: ")
    assert lines[5] == "1 account, amounts in major units"


@pytest.mark.parametrize("by", ["fact", "posting"])
@pytest.mark.parametrize("account", ["customer_wallet", "stripe_unsettled"])
def test_a_statement_adds_up(
    account: str, by: str, day: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    """Opening plus changes is closing; two halves meet; history and summing tell the same."""
    key, currency = busiest(day)
    keys = [key] if account == "customer_wallet" else []
    asked = ("statement", account, *keys, "--currency", currency, "--by", by)
    whole = told(capsys, *asked)
    at = "fact_at" if by == "fact" else "posted_at"
    middle = whole["lines"][len(whole["lines"]) // 2][at]
    first = told(capsys, *asked, "--to", middle)
    second = told(capsys, *asked, "--from", middle)
    assert first["opening_balance"] == "0"
    assert whole["by"] == by
    assert first["closing_balance"] == second["opening_balance"]
    assert second["closing_balance"] == whole["closing_balance"]
    assert first["lines"] + second["lines"] == whole["lines"]
    history = account == "customer_wallet"
    assert ("history of the account" in second["opening_source"]) == history
    assert ("keeps no history" in second["opening_source"]) == (account == "stripe_unsettled")
    held = told(capsys, "balances", account, *keys, "--currency", currency)["accounts"]
    assert [one["posted"] for one in held] == [whole["closing_balance"]]
    times = [line[at] for line in whole["lines"]]
    assert times == sorted(times)
    for number in (1, 3):
        newest = told(capsys, *asked, "--last", str(number))
        assert newest["lines"] == whole["lines"][-number:]
        assert newest["closing_balance"] == whole["closing_balance"]


def test_a_statement_names_the_record_of_each_event(
    day: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line names the topic, partition and offset of the event that posted it."""
    key, currency = busiest(day)
    found = told(capsys, "statement", "customer_wallet", key, "--currency", currency)
    events = {one["transfer_id"]: one["event_id"] for one in announced(day)}
    for line in found["lines"]:
        at = (line["partition"], line["offset"])
        (record,) = (
            one for one in day.records[line["topic"]] if (one.partition(), one.offset()) == at
        )
        assert json.loads(record.value() or b"")["id"] == events[line["transfer_id"]]


def test_a_statement_names_a_replays_records_when_told_its_group(
    day: Played, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions of another group are of no record, until that group is named."""
    key, currency = busiest(day)
    asked = ("statement", "customer_wallet", key, "--currency", currency)
    named = [line["offset"] for line in told(capsys, *asked)["lines"]]
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__GROUP_ID", "another")
    assert {line["offset"] for line in told(capsys, *asked)["lines"]} == {-1}
    found = told(capsys, *asked, "--group", "another-replay-1", "--group", "ledger-worker")
    assert [line["offset"] for line in found["lines"]] == named


def test_the_statement_as_text(day: Played, capsys: pytest.CaptureFixture[str]) -> None:
    """A page for people begins and ends with a balance."""
    key, currency = busiest(day)
    assert main(["statement", "customer_wallet", key, "--currency", currency]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"customer_wallet[{key}], {currency}, by fact, whenever it was posted"
    assert lines[1].startswith("opening balance 0")
    assert lines[-1].startswith("closing balance ")


def test_the_trial_balance_of_now(capsys: pytest.CaptureFixture[str]) -> None:
    """Debits equal credits in every currency, from the accounts and from the transfers alike."""
    now = told(capsys, "trial-balance")
    assert now["balanced"] is True
    assert now["source"] == "the accounts' balances"
    at = now["before"].replace("Z", "+00:00")
    then = told(capsys, "trial-balance", "--at", at, "--by", "posting")
    assert then["balanced"] is True
    late = told(capsys, "trial-balance", "--at", "2026-06-01")
    assert late["source"] == "summed from every transfer before that moment"
    assert late["accounts"] == now["accounts"]
    assert main(["trial-balance"]) == 0
    assert "usd: debits " in capsys.readouterr().out


def test_the_trial_balance_of_then(day: Played, capsys: pytest.CaptureFixture[str]) -> None:
    """At a time in the past it shows what the outbox says was posted until then."""
    times = sorted(one["posted_at"] for one in announced(day))
    middle = times[len(times) // 2]
    found = told(capsys, "trial-balance", "--at", middle, "--by", "posting")
    wallets = {
        one["currency"]: one["credit_balance"]
        for one in found["accounts"]
        if one["account"] == "customer_wallet"
    }
    sums: dict[str, int] = defaultdict(int)
    for (_, currency), amount in wallet_sums(day, middle).items():
        sums[currency] += amount
    assert {currency: int(amount) for currency, amount in wallets.items()} == sums


def rows_of(folder: Path, kind: str, encoding: str) -> list[dict[str, Any]]:
    files = sorted(folder.glob(f"{kind}-*.{encoding}"))
    if encoding == "parquet":
        found = duckdb.execute("SELECT * FROM read_parquet($1)", [[str(one) for one in files]])
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    rows: list[dict[str, Any]] = []
    for path in files:
        with path.open("rb") as file:
            rows += [dict(row) for row in reader(file) if isinstance(row, dict)]
    return rows


@pytest.mark.parametrize("encoding", ["parquet", "avro"])
def test_an_export_is_whole(
    encoding: str, day: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every announced transfer is in it, as announced, and its digest does not depend on format."""
    folder = tmp_path / "out"
    manifest = told(capsys, "export", str(folder), "--format", encoding, "--part-rows", "250")
    rows = rows_of(folder, "transfers", encoding)
    fields = (
        "transfer_id",
        "amount",
        "debit_key",
        "credit_account",
        "currency",
        "ledger_timestamp",
        "fact_at",
        "topic",
        "partition",
        "offset",
        "expires_at",
    )
    expected = sorted(tuple(one[name] for name in fields) for one in announced(day) if short(one))
    found = sorted(tuple(row[name] for name in fields) for row in rows if short(row))
    assert found == expected
    assert len(rows) == len(announced(day))
    assert manifest["complete"] is True
    assert manifest["balances_are_of_the_cut"] is True
    assert manifest["transfers"]["rows"] == len(rows)
    assert len(manifest["transfers"]["parts"]) == -(-len(rows) // 250)
    assert len(rows_of(folder, "accounts", encoding)) == manifest["accounts"]["rows"]
    other = tmp_path / "again"
    same = told(capsys, "export", str(other), "--format", "avro", "--part-rows", "250")
    assert same["digest"] == manifest["digest"]


def short(row: Mapping[str, Any]) -> bool:
    """Whether the ledger holds the debited account's key whole: 28 bytes, else its hash."""
    return len(row["debit_key"]) <= 28 and not row["debit_key"].startswith("#")


def test_an_interrupted_export_goes_on(
    day: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts that the manifest does not name are written again; the result is the same."""
    folder = tmp_path / "out"
    whole = told(capsys, "export", str(folder), "--format", "avro", "--part-rows", "100")
    cut = json.loads((folder / "manifest.json").read_text())
    cut |= {"complete": False, "accounts": {"parts": []}}
    cut["transfers"] = {"parts": cut["transfers"]["parts"][:2]}
    cut = {name: value for name, value in cut.items() if name != "digest"}
    (folder / "manifest.json").write_text(json.dumps(cut))
    (folder / "transfers-000002.avro").write_bytes(b"half a file")
    again = told(capsys, "export", str(folder), "--format", "avro", "--part-rows", "100")
    assert again == whole
    assert len(rows_of(folder, "transfers", "avro")) == whole["transfers"]["rows"]
    assert len(announced(day)) == whole["transfers"]["rows"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["balances", "customer_walet"],           "no account 'customer_walet'; did you mean cu"),
        (["balances", "bank", "cus_1"],            "bank is a single account and has no key"),
        (["balances", "--currency", "zzz"],        "no ledger for the currency 'zzz'"),
        (["statement", "customer_wallet"],         "one account per customer: say which"),
        (["statement", "customer_wallet", "nobo"], "has no account customer_wallet[nobo]: nothing"),
        (["balances", "customer_wallet", "nobo"],  "has no account customer_wallet[nobo]: nothing"),
        (["balances", "customer_wallet", "n", "--json"], "has no account customer_wallet[n]: noth"),
        (["statement", "bank", "--from", "soon"],  "--from 'soon' is no time: give a date"),
        (["statement", "bank", "--from", "2026-02-01", "--to", "2026-01-01"], "is not later than"),
        (["trial-balance", "--at", "2999-01-01"],  "lies in the future"),
        (["export", "."],                          "is not empty, and holds no export"),
    ],
)  # fmt: skip
def test_bad_usage(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mistake is one sentence and exit code 2."""
    (tmp_path / "mine.txt").write_text("not an export")
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert said.err.count("\n") == 1


def test_an_export_is_of_one_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with an export of another format is left alone, and so is a damaged one."""
    assert main(["export", str(tmp_path / "out"), "--format", "avro"]) == 0
    assert main(["export", str(tmp_path / "out"), "--format", "parquet"]) == 2
    assert "is an export with format 'avro', not 'parquet'" in capsys.readouterr().err
    (tmp_path / "out" / "accounts-000000.avro").unlink()
    assert main(["export", str(tmp_path / "out"), "--format", "avro"]) == 2
    assert "accounts-000000.avro is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("addresses", "says"),
    [
        ("embedded:nowhere.ledger", "there is no ledger file nowhere.ledger"),
        ("embedded",                "the in-memory ledger"),
    ],
)  # fmt: skip
def test_a_ledger_is_not_made_by_reading(
    addresses: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A ledger that is not there is said so, and no file comes into being."""
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", addresses)
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "embedded")
    assert main(["balances"]) == 2
    assert says in capsys.readouterr().err
    assert not Path("nowhere.ledger").exists()


@pytest.mark.parametrize("name", ["stripe_unsettled", "processor_fees"])
def test_an_opening_balance_is_the_same_from_either_end(name: str, day: Played) -> None:
    """Summed from the account's beginning, or counted back from its balance of now."""
    settings = Settings()
    ledger = EmbeddedLedger(path=Path(day.ledger_file))
    books = NamedLedger(ledger, load(settings.rulebook), settings)
    account = max(stored_accounts(books, account=name, key=""), key=lambda each: each.debits_posted)
    moves = list(account_transfers(ledger, account.id))
    sources = set()
    for number in range(1, len(moves), max(1, len(moves) // 7)):
        made = statement(books, account, start_ns=moves[number].timestamp, end_ns=0)
        assert made.opening == sum(signed(books, account, each) for each in moves[:number])
        sources.add(made.source.split(":")[1].split()[0])
    ledger.close()
    assert sources == {"summed", "its"}
