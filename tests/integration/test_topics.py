"""`topics plan` and `apply` on a real broker: made once, then nothing to do; never less."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.kafka import KafkaBroker
from worker.commands.cli import main

pytestmark = pytest.mark.kafka

FILE = """\
version: 1
topics:
  {p}.in: {{about: in, partitions: {partitions}, retention: {retention}, record_bytes_max: 1048576}}
  {p}.posted: {{about: out, partitions: 1, retention: 7y, record_bytes_max: 1048576}}
  {p}.rejected: {{about: rejected, partitions: 1, retention: 7y, record_bytes_max: 1048576}}
  {p}.dead: {{about: dead, partitions: 1, retention: 7y, record_bytes_max: 4194304}}
  {p}.parked:
    {{about: parked, numbered: 5, partitions: 1, retention: 90d, record_bytes_max: 4194304}}
users:
  {p}-reader: {{about: who reads, reads: [{p}.in], groups: [{p}]}}
"""

Topics = Callable[..., tuple[int, dict[str, object], str]]


@pytest.fixture(name="topics")
def _topics(
    kafka: KafkaBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Topics:
    """Runs `topics ACTION` on a file with these partitions and retention of one topic."""
    prefix = f"t{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("LEDGER_WORKER_TOPICS__INPUTS", f"{prefix}.in")
    for name in ("outbox", "rejected", "dead", "parked"):
        topic = f"{prefix}.{'posted' if name == 'outbox' else name}"
        monkeypatch.setenv(f"LEDGER_WORKER_TOPICS__{name.upper()}", topic)

    def run(
        action: str, partitions: int = 2, retention: str = "90d"
    ) -> tuple[int, dict[str, object], str]:
        path = tmp_path / "topics.yaml"
        path.write_text(FILE.format(p=prefix, partitions=partitions, retention=retention))
        command = ["topics", action, "--file", str(path), "--json"]  # one broker: one replica
        code = main(command)
        told = capsys.readouterr()
        return code, json.loads(told.out) if told.out else {}, told.err

    return run


def test_generated_traffic_makes_no_topics(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing is named before anything is written."""
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    roles = ("payments", "settlements", "commands")
    names = {role: f"t{uuid.uuid4().hex[:8]}.{role}" for role in roles}
    monkeypatch.setenv("LEDGER_WORKER_TOPICS__INPUTS", json.dumps(names))
    assert main(["generate", "--events", "9", "--seed", "1", "--to", "kafka"]) == 3
    said = capsys.readouterr().err
    assert f"topics that do not exist: {', '.join(sorted(names.values()))}; make them" in said


def test_apply_makes_what_plan_says_and_then_there_is_nothing_to_do(topics: Topics) -> None:
    """Plan: 1 and everything; apply: 0; plan again: 0 and nothing, grants included."""
    code, plan, said = topics("plan")
    assert code == 1, said
    words = [one["do"] for one in plan["changes"]]  # type: ignore[attr-defined]
    assert words == ["create"] * 9 + ["grant"] * 2
    assert plan["acls_compared"] is True
    code, done, _ = topics("apply")
    assert (code, done["applied"], done["changes"]) == (0, True, plan["changes"])
    assert topics("plan")[:2] == (
        0,
        {"differs": False, "applied": False, "acls_compared": True, "changes": []},
    )


def test_more_is_made_and_less_is_refused(topics: Topics) -> None:
    """Partitions and retention grow; nothing shrinks, and a refusal leaves all as it was."""
    code, _, said = topics("apply")
    assert code == 0, said
    code, done, _ = topics("apply", partitions=4, retention="7y")
    assert code == 0
    assert [one["do"] for one in done["changes"]] == ["update"] * 2  # type: ignore[attr-defined]
    assert topics("plan", partitions=4, retention="7y")[0] == 0
    code, _, said = topics("apply", partitions=2, retention="1d")
    assert code == 2
    assert "4 partitions cannot become 2" in said
    assert "would delete records" in said
    assert topics("plan", partitions=4, retention="7y")[0] == 0
