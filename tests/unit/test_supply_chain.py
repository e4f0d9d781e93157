"""The audit and the bill of materials: nothing unasked is clean, nothing pinned is left out."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="supply_chain", scope="module")
def _supply_chain() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply_chain", ROOT / ".ci" / "supply_chain.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = {"name": "a", "version": "1", "vulns": []}
WEAK = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("found", "code", "says"),
    [
        ([CLEAN, CLEAN], 0, "2 packages, no known weakness"),
        ([CLEAN, WEAK, SKIPPED], 1, "b 2: PYSEC-1, mended in 3"),
        ([CLEAN, SKIPPED], 3, "nothing is known about 1 of the image's packages"),
        ([], 3, "nothing is known about any of the image's packages"),
    ],
)
def test_only_a_package_that_was_asked_about_is_clean(
    found: list[dict[str, Any]], code: int, says: str, supply_chain: ModuleType
) -> None:
    """0: all are known and clean; 1: a weakness; 3: one of them is not known to anybody."""
    status, lines = supply_chain.verdict({"dependencies": found})
    assert status == code
    assert lines[0].startswith(says)


def test_the_bill_names_every_package_of_the_lock_with_its_hashes(
    tmp_path: Path, supply_chain: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each pin is a component of the worker, with as many hashes as pip would accept."""
    target = tmp_path / "sbom.json"
    assert supply_chain.sbom(target) == 0
    bom = json.loads(target.read_text())
    lock = (ROOT / "requirements-image.lock").read_text()
    pinned = set(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    assert {(one["name"], one["version"]) for one in bom["components"]} == pinned
    hashes = [file["hashes"] for one in bom["components"] for file in one["externalReferences"]]
    assert sum(map(len, hashes)) == lock.count("--hash=sha256:")
    assert bom["metadata"]["component"]["name"] == "ledger-worker"
    assert f"{len(pinned)} packages" in capsys.readouterr().out
