"""The chart, rendered by Helm itself.

The invariant: nothing here imitates Helm; where it is missing, tests skip with the one line below.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "ledger-worker"
MISSING = (
    "no helm: install it (go install helm.sh/helm/v3/cmd/helm@v3.19.5),"
    " put it on PATH or name it in HELM_BIN"
)
RENDER_SECONDS_MAX = 300

Resource = dict[str, Any]


def helm() -> str:
    """The program, or a skip that says how to get it."""
    found = os.environ.get("HELM_BIN") or shutil.which("helm")
    if not found:
        pytest.skip(MISSING)
    return found


def rendered(values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """`helm template` with these values over the defaults; the same ones are rendered once."""
    return _rendered(helm(), json.dumps(values, sort_keys=True))


@cache
def _rendered(program: str, values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "template", "books", str(CHART), "--namespace", "money", "--values", "-"],
        input=values,
        capture_output=True,
        text=True,
        check=False,
        timeout=RENDER_SECONDS_MAX,
    )


def resources(values: Mapping[str, Any]) -> list[Resource]:
    """What the chart makes with these values."""
    done = rendered(values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def only(found: list[Resource], kind: str, name: str = "") -> Resource:
    """The one resource of a kind, and of a name where there are several."""
    chosen = [one for one in found if one["kind"] == kind and name in one["metadata"]["name"]]
    assert len(chosen) == 1, [(one["kind"], one["metadata"]["name"]) for one in found]
    return chosen[0]


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """A container's plain variables."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def containers(resource: Resource) -> list[dict[str, Any]]:
    """Every container of a workload, init containers included."""
    spec = resource.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    if "template" not in spec:
        return []
    pod = spec["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]
