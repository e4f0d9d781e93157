"""The documentation as one site: every page is in it, and it loads nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r'<(?:script|img|iframe|source)[^>]+src="(?:https?:)?//|<link[^>]+href="(?:https?:)?//'
)


def pages(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    values = entry if isinstance(entry, list) else entry.values()
    return [page for value in values for page in pages(value)]


def test_every_page_is_in_the_site() -> None:
    """Each page of docs/ has a place in its menu; single decisions are reached by their list."""
    named = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    decisions = {page for page in there if re.search(r"/decisions/\d", page)}
    assert set(named) == there - decisions | {"index.md", "CHANGELOG.md"}
    assert len(named) == len(set(named))


def test_the_site_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Scripts, styles, fonts and pictures are its own, and so is its search."""
    sources = tmp_path / "sources"
    shutil.copytree(ROOT / "docs", sources / "docs")
    shutil.copy(ROOT / "README.md", sources / "index.md")
    shutil.copy(ROOT / "CHANGELOG.md", sources)
    settings = (ROOT / "mkdocs.yml").read_text().replace(".cache/site-sources", "sources")
    (tmp_path / "mkdocs.yml").write_text(settings)
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", "site"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    site = tmp_path / "site"
    assert (site / "search" / "search_index.json").stat().st_size > 100_000
    assert (site / "docs" / "pictures" / "trace.png").exists()
    for page in site.rglob("*.html"):
        assert not LOADED.search(page.read_text()), page
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()), style
