"""The chart: what it renders is valid Kubernetes, and holds what the worker's guarantees need."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has none
import pytest

from tests.deploy.chart import (
    CHART,
    Resource,
    containers,
    environment,
    helm,
    only,
    rendered,
    resources,
)
from tests.deploy.known import known_commands, known_variables
from worker.commands.run import GRACE_SECONDS
from worker.config import load_settings
from worker.kafka.announcer import TRANSACTION_TIMEOUT_MS
from worker.ledger.open import resolve

KUBERNETES = ("1.30", "1.34")
SESSIONS_MAX = 64

ALL_JOBS: dict[str, Any] = {
    "topics": {"enabled": True, "replication": 3},
    "schemas": {"enabled": True},
    "replay": {"enabled": True, "parts": 4},
    "reconcile": {"enabled": True, "parts": 3, "args": ["--part-to", "/parts"]},
    "nightlyReconcile": {"enabled": True},
}
REGISTRY = {"url": "https://registry.example.internal", "existingSecret": {"name": "registry"}}

MATRIX: dict[str, dict[str, Any]] = {
    "defaults": {},
    "keda": {"autoscaling": {"kind": "keda", "keda": {"triggerAuthentication": "kafka"}}},
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "trial": {"ledger": {"kind": "statefulset"}, "serviceMonitor": {"enabled": True}},
    "side-car": {"ledger": {"kind": "sidecar"}, "replicas": 1},
    "side-car without statsd": {
        "ledger": {"kind": "sidecar", "statsd": {"enabled": False}},
        "replicas": 1,
    },
    "jobs": {"jobs": ALL_JOBS, "schemaRegistry": REGISTRY},
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True, "runbookBaseUrl": "https://books.example/"},
        "dashboard": {"enabled": True},
    },
    "rulebook": {"rulebook": {"content": "version: 1\n"}},
    "own rulebook": {"rulebook": {"existingConfigMap": "rules"}},
    "secrets": {
        "kafka": {"existingSecret": {"name": "kafka"}},
        "schemaRegistry": REGISTRY,
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraEnvFrom": [{"secretRef": {"name": "more"}}],
        "extraVolumes": [{"name": "ca", "secret": {"secretName": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccount": {"annotations": {"a": "b"}},
    },
    "bare": {
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "topologySpread": {"enabled": False},
        "seccomp": {"type": "Unconfined"},
        "serviceAccount": {"create": False},
        "kafka": {"client": {"security.protocol": "ssl"}, "staticMembership": False},
    },
}


def test_helm_lint() -> None:
    """`helm lint --strict` finds nothing."""
    done = subprocess.run(
        [helm(), "lint", "--strict", str(CHART)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MATRIX)
def test_everything_rendered_is_valid(name: str) -> None:
    """Each resource is valid for the oldest and a new Kubernetes; others have what theirs needs."""
    custom = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
    found = resources(MATRIX[name])
    assert workers(found)
    for one in found:
        if one["kind"] in custom:
            assert one["spec"]
            continue
        for version in KUBERNETES:
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("name", MATRIX)
def test_every_variable_is_a_setting_and_every_command_exists(name: str) -> None:
    """No container gets a LEDGER_WORKER_ variable or a command that the worker does not have."""
    known = known_variables()
    for one in resources(MATRIX[name]):
        for container in containers(one):
            for given in container.get("env", []):
                assert given["name"] in known or not given["name"].startswith("LEDGER_WORKER_")
            if container["name"] in {"worker", "job"} and "command" not in container:
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


def workers(found: list[Resource]) -> Resource:
    """The workers' StatefulSet: a trial has a second one, its ledger."""
    sets = [one for one in found if one["kind"] == "StatefulSet"]
    return next(one for one in sets if not one["metadata"]["name"].endswith("-ledger"))


def worker_of(values: dict[str, Any]) -> Resource:
    """The workers' StatefulSet."""
    return workers(resources(values))


TOO_MANY: list[dict[str, Any]] = [
    {"replicas": 31},
    {"autoscaling": {"kind": "keda", "maxReplicas": 31}},
    {"replicas": 30, "jobs": {"nightlyReconcile": {"enabled": True}}},
    {"replicas": 20, "jobs": {"replay": {"enabled": True, "parts": 12}}},
    {"replicas": 33},
]


@pytest.mark.parametrize("values", TOO_MANY)
def test_more_sessions_than_the_ledger_has_are_refused(values: dict[str, Any]) -> None:
    """Workers and jobs that could together need a 65th session are refused before anything runs."""
    done = rendered(values)
    assert done.returncode != 0
    assert "sessions of TigerBeetle's 64" in done.stderr or "replicas" in done.stderr


def test_the_most_that_is_allowed_fits() -> None:
    """30 workers of two sessions and the reserve are just the 64."""
    assert worker_of({"replicas": 30})["spec"]["replicas"] == 30


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"ledger": {"kind": "sidecar"}}, "set replicas to 1"),
    ({"kafka": {"client": {"a": "b"}, "existingSecret": {"name": "k"}}}, "give one"),
    ({"rulebook": {"content": "x", "existingConfigMap": "y"}}, "two rulebooks"),
    ({"jobs": {"schemas": {"enabled": True}}}, "needs schemaRegistry.url"),
    ({"replics": 3}, "replics"),
    ({"ledger": {"kind": "cloud"}}, "kind"),
    ({"kafka": {"bootstrapServers": "kafka"}}, "bootstrapServers"),
    ({"shutdown": {"workerSeconds": 10}}, "workerSeconds"),
    ({"autoscaling": {"kind": "keda", "minReplicas": 13}}, "minReplicas"),
]


@pytest.mark.parametrize(("values", "says"), REFUSED)
def test_wrong_values_are_refused(values: dict[str, Any], says: str) -> None:
    """A value that is unknown, or contradicts another, stops with a sentence that names it."""
    done = rendered(values)
    assert done.returncode != 0
    assert says in done.stderr


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({"ledger": {"addresses": ["localhost:3000"]}}, "localhost:3000"),
        ({"ledger": {"kind": "statefulset"}}, "books-ledger-worker-ledger:3000"),
        ({"ledger": {"kind": "sidecar"}, "replicas": 1}, "127.0.0.1:3000"),
    ],
)
def test_no_name_reaches_the_ledgers_client(
    values: dict[str, Any],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Names go to the worker alone, which resolves them; servers are told IPs only."""
    worker = worker_of(values)
    given = environment(worker["spec"]["template"]["spec"]["containers"][0])
    assert given["LEDGER_WORKER_LEDGER__ADDRESSES"] == address
    found = [(2, 1, 6, "", ("10.0.0.7", 3000))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    assert resolve(address) == "10.0.0.7:3000"
    for one in resources(values):
        for container in containers(one):
            for argument in container.get("args", []):
                if argument.startswith(("--addresses=", "--statsd=")):
                    assert re.fullmatch(r"--\w+=[0-9.]+:[0-9]+", argument)


def test_pods_keep_their_names_at_kafka() -> None:
    """Transactional id and member id are the pod's, which an ordinal keeps over restarts."""
    worker = worker_of({})["spec"]["template"]["spec"]["containers"][0]
    given = environment(worker)
    assert given["LEDGER_WORKER_KAFKA__TRANSACTIONAL_ID"] == "ledger-worker-$(POD_NAME)"
    assert given["LEDGER_WORKER_KAFKA__GROUP_INSTANCE_ID"] == "$(POD_NAME)"
    names = [one["name"] for one in worker["env"]]
    assert names.index("POD_NAME") < names.index("LEDGER_WORKER_KAFKA__TRANSACTIONAL_ID")


def test_the_grace_period_covers_what_the_worker_may_take() -> None:
    """preStop, the ledger's batch in flight and the transaction fit before the pod is killed."""
    pod = worker_of({})["spec"]["template"]["spec"]
    pre_stop = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pre_stop + GRACE_SECONDS + TRANSACTION_TIMEOUT_MS / 1000
    assert pod["terminationGracePeriodSeconds"] > needed


def test_pods_are_locked_down_but_for_io_uring() -> None:
    """Not root, nothing writable but /tmp, no capability; and io_uring is let through."""
    pod = worker_of({})["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["seccompProfile"]["type"] == "Localhost"
    container = pod["containers"][0]["securityContext"]
    assert container["readOnlyRootFilesystem"] is True
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}


def test_the_seccomp_profile_lets_io_uring_through() -> None:
    """Of all calls, those of io_uring and what Python and librdkafka need are not refused."""
    profile = json.loads((CHART / "files" / "seccomp-io-uring.json").read_text())
    refused = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ERRNO"}
    assert not refused & {"io_uring_setup", "io_uring_enter", "io_uring_register", "mlock", "clone"}
    assert {"mount", "ptrace", "bpf", "kexec_load", "init_module", "setns"} <= refused


def test_a_new_rulebook_restarts_the_workers() -> None:
    """The pod's annotation changes with the rulebook's text, and with nothing else."""

    def checksum(content: str) -> str:
        worker = worker_of({"rulebook": {"content": content}})
        annotations: dict[str, str] = worker["spec"]["template"]["metadata"]["annotations"]
        return annotations["checksum/rulebook"]

    assert checksum("version: 1\n") == checksum("version: 1\n") != checksum("version: 1 \n")


def test_keda_scales_on_lag_above_what_rests() -> None:
    """Each input topic is a trigger; both thresholds are above the lag that markers leave."""
    found = resources(MATRIX["keda"])
    scaled = only(found, "ScaledObject")["spec"]
    worker = worker_of(MATRIX["keda"])
    assert "replicas" not in worker["spec"]
    assert scaled["maxReplicaCount"] <= SESSIONS_MAX // 2
    assert {one["metadata"]["topic"] for one in scaled["triggers"]} == {
        "stripe.payments",
        "stripe.settlements",
        "wallet.commands",
    }
    for trigger in scaled["triggers"]:
        assert trigger["metadata"]["limitToPartitionsWithLag"] == "true"
        assert trigger["metadata"]["excludePersistentLag"] == "true"
        assert int(trigger["metadata"]["activationLagThreshold"]) > 10 * 12
        assert int(trigger["metadata"]["lagThreshold"]) > 10 * 12


def test_the_network_policy_opens_just_the_ports_in_use() -> None:
    """Out: DNS, Kafka, ledger, registry; in: the metrics."""
    values = {
        "kafka": {"bootstrapServers": "a:9093,b:9094"},
        "ledger": {"addresses": ["10.0.0.1:3001"]},
        "schemaRegistry": {"url": "https://registry.example.internal"},
    }
    policy = only(resources(values), "NetworkPolicy")["spec"]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 9093, 9094, 3001, 443}
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == [9464]


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
