"""`feed` does not start on a topic whose records come in an envelope: each would be dead."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.commands.cli import main
from worker.rulebooks.load import PACKAGED

FEEDS = [
    (["webhooks"], "payments"),
    (["settlements", "--from", "2026-01-01"], "settlements"),
    (["settlements", "--from", "2026-01-01"], "payments"),
    (["backfill", "--from", "2026-01-01"], "payments"),
]


@pytest.mark.parametrize(("what", "role"), FEEDS)
def test_a_wrapped_topic_stops_the_start(
    what: list[str],
    role: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a sentence that names topic and role, before anything is reached."""
    rules = tmp_path / "rules.yaml"
    topic = f"  {role}: {{"
    rules.write_text(PACKAGED.read_text().replace(topic, f"{topic}envelope: eventbridge, ", 1))
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(rules))
    assert main(["feed", *what]) == 2
    assert f"those of stripe.{role} (role {role}) come in an envelope" in capsys.readouterr().err
