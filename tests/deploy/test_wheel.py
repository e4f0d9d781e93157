"""What is installed is what is here: the wheel holds every file that the worker reads by itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD_SECONDS_MAX = 300


@pytest.fixture(name="wheel", scope="module")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel built from a copy of the sources, symbolic links as such."""
    work = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("worker", "schemas", "topics"):
        shutil.copytree(ROOT / name, work / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, work / name)
    command = ["pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", "dist", "."]
    subprocess.run(
        [sys.executable, "-m", *command],
        cwd=work,
        check=True,
        capture_output=True,
        timeout=BUILD_SECONDS_MAX,
    )
    (built,) = (work / "dist").glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


@pytest.mark.parametrize(
    "pattern",
    [
        "schemas/*.avsc",
        "schemas/history/*/*.avsc",
        "topics/*.yaml",
        "rulebooks/*.yaml",
        "rulebooks/*.json",
        "rulebooks/*.lock",
        "jobs/pages/*.css",
        "jobs/pages/templates/*.html",
        "**/*.py",
    ],
)
def test_the_wheel_has_what_the_worker_reads(pattern: str, wheel: set[str]) -> None:
    """Schemas and their history, topics, rulebook with schema and lock, pages, and every module."""
    here = {str(path.relative_to(ROOT)) for path in (ROOT / "worker").glob(pattern)}
    assert here
    assert here <= wheel
