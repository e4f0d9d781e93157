"""What `status` says of the last reconciliation."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.core.errors import UsageError
from worker.jobs.status.reconciled import last_reconciliation


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"summary": {}}', '{"summary": {"made_at": 1}}'])
def test_what_is_no_report(text: str, tmp_path: Path) -> None:
    """One sentence, whatever else the file holds; a folder without periods has none."""
    path = tmp_path / "report.json"
    with pytest.raises(UsageError, match="cannot be read"):
        last_reconciliation(path)
    path.write_text(text)
    with pytest.raises(UsageError, match="is no report of `reconcile --report"):
        last_reconciliation(path)
    path.unlink()
    assert last_reconciliation(tmp_path) is None
