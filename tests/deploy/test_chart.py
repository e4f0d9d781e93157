"""The chart: what it renders is valid, its settings exist, and wrong values are refused."""

from __future__ import annotations

import subprocess
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has none
import pytest

from tests.deploy.chart import (
    CHART,
    KUBERNETES,
    containers,
    environment,
    helm,
    only,
    rendered,
    resources,
    worker_of,
    workers,
)
from tests.deploy.chart_values import MATRIX
from tests.deploy.known import known_commands, known_variables
from tests.deploy.specification import CUSTOM, validate_custom
from worker.config.settings import load_settings


def test_helm_lint() -> None:
    """`helm lint --strict` finds nothing."""
    done = subprocess.run(
        [helm(), "lint", "--strict", str(CHART)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MATRIX)
def test_everything_rendered_is_valid(name: str) -> None:
    """Each resource is valid for the oldest and a new Kubernetes, or for its own operator."""
    found = resources(MATRIX[name])
    assert workers(found)
    for one in found:
        if one["kind"] in CUSTOM:
            validate_custom(one)
            continue
        for version in KUBERNETES:
            kubernetes_validate.validate(one, version, strict=True)
    names = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", MATRIX)
def test_every_variable_is_a_setting_and_every_command_exists(name: str) -> None:
    """No container gets a LEDGER_WORKER_ variable or a command that the worker does not have."""
    known = known_variables()
    for one in resources(MATRIX[name]):
        for container in containers(one):
            for given in container.get("env", []):
                assert given["name"] in known or not given["name"].startswith("LEDGER_WORKER_")
            ours = container["image"].startswith("ledger-worker:")
            if ours and "command" not in container:
                assert container["args"][0] in known_commands()


@pytest.mark.parametrize("name", MATRIX)
def test_the_rendered_environment_is_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's own settings take the worker's rendered environment without a word."""
    worker = workers(resources(MATRIX[name]))
    for key, value in environment(worker["spec"]["template"]["spec"]["containers"][0]).items():
        if not key.endswith("_FILE"):
            monkeypatch.setenv(key, value)
    settings = load_settings()
    assert settings.kafka.group_id == "ledger-worker"
    assert settings.kafka.transactional_id == "ledger-worker-$(POD_NAME)"
    assert settings.batch.bytes_max == 8_388_608
    assert list(settings.metrics.balances) == MATRIX[name].get("metrics", {}).get("balances", [])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"ledger": {"kind": "sidecar"}}, "set replicas to 1"),
    ({"kafka": {"client": {"a": "b"}, "existingSecret": {"name": "k"}}}, "give one"),
    ({"rulebook": {"content": "x", "existingConfigMap": "y"}}, "two rulebooks"),
    ({"jobs": {"schemas": {"enabled": True}}}, "needs schemaRegistry.url"),
    ({"events": {"livemode": ""}}, "events.livemode must be set"),
    ({"events": {"account": "acct_1"}}, "events.livemode must be set"),
    ({"events": {"livemode": "test"}}, "livemode"),
    ({"replics": 3}, "replics"),
    ({"ledger": {"kind": "cloud"}}, "kind"),
    ({"kafka": {"bootstrapServers": "kafka"}}, "bootstrapServers"),
    ({"shutdown": {"workerSeconds": 10}}, "workerSeconds"),
    ({"autoscaling": {"kind": "keda", "minReplicas": 13}}, "minReplicas"),
    ({"seccomp": {"localhostProfile": "other/io-uring.json"}}, "seccomp.hostPath"),
    *(
        ({"ledger": {"kind": "sidecar"}, "replicas": 1, "jobs": {job: {"enabled": True}}}, "reach")
        for job in ("replay", "reconcile", "nightlyReconcile")
    ),
]


@pytest.mark.parametrize(("values", "says"), REFUSED)
def test_wrong_values_are_refused(values: dict[str, Any], says: str) -> None:
    """A value that is unknown, or contradicts another, stops with a sentence that names it."""
    done = rendered(values)
    assert done.returncode != 0
    assert says in done.stderr


@pytest.mark.parametrize("mode", [True, False, "true", "false", "any"])
def test_the_mode_may_be_text_or_boolean(mode: str | bool) -> None:  # noqa: FBT001 - YAML's own kind
    """`--set events.livemode=false` is a boolean for Helm, and false is an answer."""
    worker = worker_of({"events": {"livemode": mode}})
    variables = environment(containers(worker)[-1])
    assert variables["LEDGER_WORKER_EVENTS__LIVEMODE"] == str(mode).lower()


def test_a_new_rulebook_restarts_the_workers() -> None:
    """The pod's annotation changes with the rulebook's text, and with nothing else."""

    def checksum(content: str) -> str:
        worker = worker_of({"rulebook": {"content": content}})
        annotations: dict[str, str] = worker["spec"]["template"]["metadata"]["annotations"]
        return annotations["checksum/rulebook"]

    assert checksum("version: 1\n") == checksum("version: 1\n") != checksum("version: 1 \n")


def test_jobs_split_their_work_by_index() -> None:
    """A replay of four parts is four pods of an indexed Job, each with its own part."""
    found = resources(MATRIX["jobs"])
    replay = only(found, "Job", "replay")["spec"]
    assert (replay["completionMode"], replay["completions"], replay["parallelism"]) == (
        "Indexed",
        4,
        4,
    )
    assert "--partitions=$(JOB_COMPLETION_INDEX)/4" in containers({"spec": replay})[0]["args"]
    reconcile = only(found, "Job", "reconcile")["spec"]
    asked = ["reconcile", "--part-to", "/parts", "--partitions=$(JOB_COMPLETION_INDEX)/3"]
    assert (reconcile["completions"], containers({"spec": reconcile})[0]["args"]) == (3, asked)
    nightly = only(found, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert "ledger-worker reconcile --from" in nightly["containers"][0]["command"][2]


def test_hooks_need_nothing_that_the_chart_has_not_made_yet() -> None:
    """Jobs before an install use no ConfigMap, account or profile of the chart."""
    values = MATRIX["jobs"] | MATRIX["rulebook"]
    for one in resources(values):
        if "helm.sh/hook" not in one["metadata"].get("annotations", {}):
            continue
        pod = one["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == "default"
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert [volume["name"] for volume in pod["volumes"]] == ["tmp", "registry"]


def test_alerts_link_to_runbooks() -> None:
    """Every alert of the PrometheusRule has a link under the base that was given."""
    rule = only(resources(MATRIX["monitoring"]), "PrometheusRule")
    alerts = [one for group in rule["spec"]["groups"] for one in group["rules"]]
    for alert in alerts:
        link = alert["annotations"]["runbook_url"]
        assert link.startswith("https://books.example/docs/runbooks/alerts.md#")
