"""The chart holds what the worker's guarantees need: sessions, names, grace, profile, scaling."""

from __future__ import annotations

import errno
import json
import re
from typing import Any

import pytest
import yaml

from tests.deploy.chart import (
    CHART,
    ROOT,
    containers,
    environment,
    only,
    pod_of,
    rendered,
    resources,
    worker_of,
)
from tests.deploy.chart_values import MATRIX
from worker.jobs.live.run import GRACE_SECONDS
from worker.kafka.producer import TRANSACTION_TIMEOUT_MS
from worker.ledger.open import resolve

SESSIONS_MAX = 64

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


@pytest.mark.parametrize("name", MATRIX)
def test_what_is_rendered_fits_the_sessions(name: str) -> None:
    """As many pods as can run at once, two sessions each, are never more than the ledger takes."""
    found = resources(MATRIX[name])
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"].get(
            "maxReplicaCount", one["spec"].get("maxReplicas")
        )
        for one in found
        if one["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}
    }
    pods = 0
    for one in found:
        labels = one.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
        component = labels.get("app.kubernetes.io/component")
        if component in {"worker", "serve", "sync"}:
            pods += scaled.get(one["metadata"]["name"], one["spec"].get("replicas"))
        if component == "job" or one["kind"] == "CronJob":
            hook = "helm.sh/hook" in str(one["metadata"])
            pods += 0 if hook else one["spec"].get("parallelism", 1)
    assert 2 * pods <= SESSIONS_MAX


def test_the_most_that_is_allowed_fits() -> None:
    """30 workers of two sessions and the reserve are just the 64."""
    assert worker_of({"replicas": 30})["spec"]["replicas"] == 30


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


def test_no_job_takes_a_workers_name_at_kafka() -> None:
    """A second process under a worker's transactional or member id would put the worker out."""
    for one in resources(MATRIX["everything"]):
        if one["kind"] in {"Job", "CronJob"}:
            for container in containers(one):
                given = {variable["name"] for variable in container["env"]}
                assert not given & {
                    "LEDGER_WORKER_KAFKA__TRANSACTIONAL_ID",
                    "LEDGER_WORKER_KAFKA__GROUP_INSTANCE_ID",
                }


def test_an_upgrade_changes_no_name_at_kafka() -> None:
    """Neither a new image nor another number of workers changes the ids of pod 0."""
    changes: list[dict[str, Any]] = [{}, {"image": {"tag": "9.9.9"}}, {"replicas": 7}]
    for values in changes:
        worker = worker_of(values)
        assert worker["metadata"]["name"] == "books-ledger-worker"
        given = environment(worker["spec"]["template"]["spec"]["containers"][0])
        assert given["LEDGER_WORKER_KAFKA__TRANSACTIONAL_ID"] == "ledger-worker-$(POD_NAME)"


def test_the_grace_period_covers_what_the_worker_may_take() -> None:
    """preStop, the ledger's batch in flight and the transaction fit before the pod is killed."""
    pod = worker_of({})["spec"]["template"]["spec"]
    pre_stop = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pre_stop + GRACE_SECONDS + TRANSACTION_TIMEOUT_MS / 1000
    assert pod["terminationGracePeriodSeconds"] > needed
    schema = json.loads((CHART / "values.schema.json").read_text())
    least = schema["properties"]["shutdown"]["properties"]["workerSeconds"]["minimum"]
    assert least >= needed - pre_stop


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


@pytest.mark.parametrize("name", ["placed", "everything", "jobs", "side-car"])
def test_who_needs_the_profile_runs_where_it_is(name: str) -> None:
    """A pod under the Localhost profile goes only to nodes where the DaemonSet puts it."""
    found = resources(MATRIX[name])
    installs = pod_of(only(found, "DaemonSet"))
    needing = [
        pod
        for one in found
        if (pod := pod_of(one)) and pod["securityContext"]["seccompProfile"]["type"] == "Localhost"
    ]
    assert needing
    for pod in needing:
        for key in ("nodeSelector", "tolerations"):
            assert pod.get(key) == installs.get(key) == MATRIX[name].get(key)
        profile = pod["securityContext"]["seccompProfile"]["localhostProfile"]
        (host,) = (one["hostPath"]["path"] for one in installs["volumes"] if "hostPath" in one)
        assert f"/var/lib/kubelet/seccomp/{profile}".startswith(f"{host}/")


def test_the_seccomp_profile_lets_io_uring_through() -> None:
    """Of all calls, those of io_uring and what Python and librdkafka need are not refused."""
    profile = json.loads((CHART / "files" / "seccomp-io-uring.json").read_text())
    whole = [rule for rule in profile["syscalls"] if "args" not in rule]
    refused = {name for rule in whole for name in rule["names"]}
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ERRNO"}
    assert not refused & {"io_uring_setup", "io_uring_enter", "io_uring_register", "mlock", "clone"}
    assert {"mount", "ptrace", "bpf", "kexec_load", "init_module", "setns", "unshare"} <= refused


NAMESPACES = {
    "mount": 0x0002_0000,
    "cgroup": 0x0200_0000,
    "uts": 0x0400_0000,
    "ipc": 0x0800_0000,
    "user": 0x1000_0000,
    "pid": 0x2000_0000,
    "net": 0x4000_0000,
}
"""The flags of clone(2) that make one."""


def test_the_seccomp_profile_lets_nobody_make_a_namespace() -> None:
    """`clone` is refused with each of their flags.

    No filter sees those of `clone3`: it is said not to exist, and programs fall back to `clone`.
    """
    profile = json.loads((CHART / "files" / "seccomp-io-uring.json").read_text())
    rules = [rule for rule in profile["syscalls"] if rule["names"] == ["clone"]]
    assert [rule["args"] for rule in rules] == [
        [{"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}]
        for flag in NAMESPACES.values()
    ]
    (newer,) = (rule for rule in profile["syscalls"] if "clone3" in rule["names"])
    assert newer["errnoRet"] == errno.ENOSYS


def test_keda_scales_on_lag_above_what_rests() -> None:
    """Each input topic is a trigger; both thresholds are above the lag that markers leave.

    Each transaction's marker takes an offset, so that lag rests at 1 or more for each partition.
    """
    found = resources(MATRIX["keda"])
    scaled = only(found, "ScaledObject")["spec"]
    worker = worker_of(MATRIX["keda"])
    assert "replicas" not in worker["spec"]
    assert scaled["maxReplicaCount"] <= SESSIONS_MAX // 2
    assert {one["metadata"]["topic"] for one in scaled["triggers"]} == {
        "stripe.payments",
        "stripe.settlements",
        "wallet.commands",
        "wallet.treasury",
        "ledger.journal",
    }
    declared = yaml.safe_load((ROOT / "topics" / "topics.yaml").read_text())["topics"]
    for trigger in scaled["triggers"]:
        assert trigger["metadata"]["limitToPartitionsWithLag"] == "true"
        assert trigger["metadata"]["excludePersistentLag"] == "true"
        partitions = declared[trigger["metadata"]["topic"]]["partitions"]
        assert int(trigger["metadata"]["activationLagThreshold"]) > 10 * partitions
        assert int(trigger["metadata"]["lagThreshold"]) > 10 * partitions


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


def test_a_trial_ledger_is_reached_by_workers_and_jobs_only() -> None:
    """TigerBeetle asks nobody who they are: its port is open to this release's own pods alone."""
    policy = only(resources(MATRIX["trial"]), "NetworkPolicy", "-ledger-worker-ledger")["spec"]
    money, metrics = policy["ingress"]
    assert [port["port"] for port in money["ports"]] == [3000]
    (source,) = money["from"]
    assert source["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "books"
    assert source["podSelector"]["matchExpressions"][0]["values"] == [
        "worker", "job", "serve", "sync",
    ]  # fmt: skip
    assert [port["port"] for port in metrics["ports"]] == [9102]
