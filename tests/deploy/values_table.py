"""`python -m tests.deploy.values_table`: puts the table of values into the chart's README.

A row for each value, and for each group that has a comment; the comment above it is what it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm" / "ledger-worker"
HEADING = "## Values\n\n"
HEAD = "| value | default | what it is |\n|---|---|---|\n"


def rows(text: str) -> Iterator[str]:
    """The lines of the table for a values.yaml."""
    loaded = yaml.safe_load(text)
    path: list[str] = []
    above: list[str] = []
    for line in text.splitlines():
        comment = re.fullmatch(r" *# ?(.*)", line)
        key = re.fullmatch(r"( *)(\w+):(.*)", line)
        if comment:
            above.append(comment[1])
            continue
        if key:
            path = [*path[: len(key[1]) // 2], key[2]]
            says = " ".join([*above, *re.findall(r" # (.*)$", key[3])])
            value = _at(loaded, path)
            group = isinstance(value, dict) and not re.sub(r" # .*$", "", key[3]).strip()
            if says or not group:
                yield _row(path, None if group else value, says)
        above = []


def _at(loaded: Any, path: list[str]) -> Any:
    for name in path:
        loaded = loaded[name]
    return loaded


def _row(path: list[str], default: Any, says: str) -> str:
    shown = "" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"
    return f"| `{'.'.join(path)}` | {shown} | {says} |\n"


def readme() -> str:
    """The chart's README with the table of today's values."""
    before, heading, _ = (CHART / "README.md").read_text().partition(HEADING)
    return before + heading + HEAD + "".join(rows((CHART / "values.yaml").read_text()))


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme())
