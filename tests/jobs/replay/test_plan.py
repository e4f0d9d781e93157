"""A plan counts what a replay would post, from archives; it writes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.reports.played import Played, play
from worker.commands.cli import main
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.replay.plan import ReplayRequest, _within
from worker.jobs.replay.range import Moment
from worker.ledger.embedded import EmbeddedLedger

EVENTS = 200


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A small day; the ledger's file is closed so that commands can open it."""
    played = play(EVENTS, seed=9, folder=tmp_path_factory.mktemp("day"))
    played.ledger.close()
    return played


@pytest.fixture
def archive(day: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything in the topics; the settings name the day's ledger."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    return day.archive(tmp_path / "all.jsonl")


def plan(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["replay", "--json", *arguments]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_where_everything_is_posted_nothing_is_new(
    day: Played, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was posted exists, what was refused is known from its topic; nothing is to be done."""
    found = plan(capsys, "--from-files", str(archive))
    total, was = found["total"], day.outcomes
    assert sum(total.values()) == EVENTS
    assert "new" not in total
    assert found["items"] == []
    assert total["exists"] + total["rejected"] == (
        was["posted"] + was["redelivered"] + was["rejected"]
    )
    assert total["rejected"] >= was["rejected"] > 0
    assert total["ignored"] == was["ignored"]
    before = day.ledger_file.read_bytes()
    assert main(["replay", "--from-files", str(archive)]) == 0
    assert "nothing would be posted" in capsys.readouterr().out
    assert day.ledger_file.read_bytes() == before


def test_an_empty_ledger_lacks_all_that_was_posted(
    day: Played,
    archive: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every posted event is new there, once; those that wait for an earlier one too."""
    EmbeddedLedger(path=tmp_path / "empty.file").close()
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{tmp_path / 'empty.file'}")
    total = plan(capsys, "--from-files", str(archive))["total"]
    assert total["new"] == day.outcomes["posted"]
    assert "exists" not in total
    assert total["repeated"] > 0


def test_a_fact_under_other_ids_is_told_and_not_new(
    day: Played, tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event that comes with another `created` has other ids, and is found by its key."""
    assert archive.exists()
    record = _posted_p2p(day)
    record["created"] += 1
    line = {"topic": "wallet.commands", "value": record}
    (tmp_path / "one.jsonl").write_text(json.dumps(line) + "\n")
    found = plan(capsys, "--from-files", str(tmp_path / "one.jsonl"), code=1)
    assert found["total"] == {"other_ids": 1}
    assert found["items"][0]["event_id"] == record["id"]


def _posted_p2p(day: Played) -> dict[str, Any]:
    told = {one.key_bytes for one in day.records["ledger.transfers.posted"]}
    events = (json.loads(one.value_bytes or b"{}") for one in _sound(day))
    return next(one for one in events if one["type"] == "wallet.p2p" and one["id"].encode() in told)


def _sound(day: Played) -> list[ArchivedRecord]:
    records = day.records["wallet.commands"]
    return [one for one in records if (one.value_bytes or b"").startswith(b'{"id"')]


def test_other_money_is_a_conflict(
    day: Played, tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same ids with another amount are told."""
    assert archive.exists()
    record = _posted_p2p(day)
    record["data"]["object"]["amount"] += 1
    line = {"topic": "wallet.commands", "value": record}
    (tmp_path / "one.jsonl").write_text(json.dumps(line) + "\n")
    found = plan(capsys, "--from-files", str(tmp_path / "one.jsonl"), code=1)
    assert found["total"] == {"conflict": 1}


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("LIVEMODE", "true", {"livemode": False}),
        ("LIVEMODE", "false", {"livemode": True}),
        ("ACCOUNT", "acct_ours", {"account": "acct_another"}),
        ("ACCOUNT", "", {"account": "acct_another"}),
    ],
)
def test_a_plan_posts_nothing_that_the_worker_refuses(  # noqa: PLR0913, PLR0917 - three fixtures
    day: Played,
    tmp_path: Path,
    archive: Path,
    setting: str,
    value: str,
    says: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An event of the other mode or of another account is dead in the plan, as it is live."""
    assert archive.exists()
    record = {**_posted_p2p(day), "id": "evt_foreign", **says}
    line = {"topic": "wallet.commands", "value": record}
    (tmp_path / "one.jsonl").write_text(json.dumps(line) + "\n")
    told = ("--from-files", str(tmp_path / "one.jsonl"))
    monkeypatch.setenv("LEDGER_WORKER_EVENTS__ACCOUNT", "*")
    assert plan(capsys, *told)["total"] == {"new": 1}
    monkeypatch.setenv(f"LEDGER_WORKER_EVENTS__{setting}", value)
    assert plan(capsys, *told)["total"] == {"dead": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from-files", "x.jsonl", "--apply"], "--apply works from Kafka only"),
        (["--from", "yesterday"], "--from 'yesterday' is no time"),
        (["--from", "stripe.payments@3"], "is no offset"),
        (["--from", "2026-02-01", "--to", "2026-01-01"], "is not later than"),
        (["--partitions", "4/4"], "is no part"),
        (["--from-files", "x.jsonl", "--partitions", "0/2"], "--partitions splits"),
        (["--from-files", "x.jsonl", "--topics", "nobody"], "is no input topic"),
        (["--from-files", "absent.jsonl"], "cannot be read"),
    ],
)
def test_bad_usage_is_one_sentence(
    arguments: list[str],
    said: str,
    archive: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2, and nothing that looks like a result."""
    assert archive.exists()
    assert main(["replay", *arguments]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (Moment(), Moment(), [8, 9, 10, 11]),
        (Moment(time_ms=9), Moment(), [9, 10, 11]),
        (Moment(), Moment(time_ms=10), [8, 9]),
        (Moment(time_ms=9), Moment(time_ms=10), [9]),
        (Moment(time_ms=9), Moment(time_ms=9), []),
        (Moment(offsets={("t", 0): 9}), Moment(), [9, 10, 11]),
        (Moment(), Moment(offsets={("t", 0): 10}), [8, 9]),
        (Moment(offsets={("t", 0): 9}), Moment(offsets={("t", 0): 10}), [9]),
        (Moment(offsets={("t", 1): 9}), Moment(), []),
        (Moment(), Moment(offsets={("t", 1): 10}), []),
        (Moment(offsets={("t", 0): 9}), Moment(time_ms=11), [9, 10]),
    ],
)
def test_the_range_of_an_archive(start: Moment, end: Moment, found: list[int]) -> None:
    """The start belongs to it and the end does not; a partition that is not named is left out."""
    records = [ArchivedRecord("t", 0, at, None, b"", [], at) for at in range(8, 12)]
    request = ReplayRequest(start, end)
    assert [record.offset() for record in records if _within(record, request)] == found
