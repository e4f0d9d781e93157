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
BUILT = ROOT / ".cache" / "bin" / "helm"
"""Where `make helm` builds it."""

MISSING = "no helm: put it on PATH, name it in HELM_BIN, or let `make helm` build it with Go"
RENDER_SECONDS_MAX = 300
KUBERNETES = ("1.30", "1.34")
"""The oldest that the chart takes, and a new one. Helm without a cluster supposes one by its build:
an old one where `go install` made it."""

Resource = dict[str, Any]


def helm() -> str:
    """The program, or a skip that says how to get it."""
    found = os.environ.get("HELM_BIN") or shutil.which("helm") or shutil.which(BUILT)
    if not found:
        pytest.skip(MISSING)
    return found


def rendered(values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """`helm template` with these values over the defaults; the same ones are rendered once.

    What the chart asks for is answered, unless the values say something about it.
    """
    answered = {"events": {"livemode": "true"}, **values}
    return _rendered(helm(), json.dumps(answered, sort_keys=True))


@cache
def _rendered(program: str, values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            program, "template", "books", str(CHART), "--namespace", "money", "--values", "-",
            "--kube-version", f"{KUBERNETES[-1]}.0",
        ],
        input=values,
        capture_output=True,
        text=True,
        check=False,
        timeout=RENDER_SECONDS_MAX,
    )  # fmt: skip


def resources(values: Mapping[str, Any]) -> list[Resource]:
    """What the chart makes with these values."""
    done = rendered(values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.load_all(done.stdout, Loader=_StrictYaml) if one]


class _StrictYaml(yaml.SafeLoader):
    """YAML where a key that stands twice is an error: one of the two would be lost unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        """See PyYAML."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), (keys, str(node.start_mark))
        return super().construct_mapping(node, deep=deep)


def only(found: list[Resource], kind: str, name: str = "") -> Resource:
    """The one resource of a kind, and of a name where there are several."""
    chosen = [one for one in found if one["kind"] == kind and name in one["metadata"]["name"]]
    assert len(chosen) == 1, [(one["kind"], one["metadata"]["name"]) for one in found]
    return chosen[0]


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """A container's plain variables."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def pod_of(resource: Resource) -> dict[str, Any]:
    """A workload's pod; empty for what is none."""
    spec = resource.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    pod: dict[str, Any] = spec.get("template", {}).get("spec", {})
    return pod


def containers(resource: Resource) -> list[dict[str, Any]]:
    """Every container of a workload, init containers included."""
    pod = pod_of(resource)
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def workers(found: list[Resource]) -> Resource:
    """The workers' StatefulSet: a trial has a second one, its ledger."""
    sets = [one for one in found if one["kind"] == "StatefulSet"]
    return next(one for one in sets if not one["metadata"]["name"].endswith("-ledger"))


def worker_of(values: dict[str, Any]) -> Resource:
    """The workers' StatefulSet."""
    return workers(resources(values))
