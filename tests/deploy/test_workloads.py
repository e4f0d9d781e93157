"""The chart's workloads beside the workers: the feed's three, `serve` and `sync`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from tests.deploy.chart import (
    Resource,
    containers,
    environment,
    only,
    pod_of,
    rendered,
    resources,
)
from tests.deploy.chart_values import MATRIX
from tests.deploy.values_table import CHART, readme
from worker.config.settings import load_settings
from worker.jobs.serve.server import DRAIN_SECONDS
from worker.kafka.producer import TRANSACTION_TIMEOUT_MS

FOUND = MATRIX["stripe and reads"]
COMPONENTS = ("webhooks", "settlements", "serve", "sync")
MOUNTED = "/etc/ledger-worker/secret"


def deployment(component: str) -> Resource:
    name = f"books-ledger-worker-{component}"
    return next(
        one
        for one in resources(FOUND)
        if one["kind"] == "Deployment" and one["metadata"]["name"] == name
    )


def backfill(values: dict[str, Any] = FOUND) -> Resource:
    return only(resources(values), "Job", "backfill")


WORKLOADS = [
    ("webhooks", ["feed", "webhooks"], "FEED__WEBHOOK_SECRETS", "signing", "stripe-user"),
    ("settlements", ["feed", "settlements", "--heal", "--from", "2026-01-01"], "FEED__API_KEY",
     "stripe", "stripe-user"),
    ("serve", ["serve"], "SERVE__TOKENS", "tokens", "workers"),
    ("sync", ["sync", "--create"], "SYNC__DSN", "database", "sync-user"),
]  # fmt: skip


@pytest.mark.parametrize(("component", "arguments", "setting", "secret", "user"), WORKLOADS)
def test_each_runs_its_command_with_its_own_secrets(
    component: str, arguments: list[str], setting: str, secret: str, user: str
) -> None:
    """The command, its one secret as a file, and its own Kafka user's settings."""
    found = deployment(component)
    pod, (container,) = pod_of(found), containers(found)
    assert container["args"] == arguments
    given = environment(container)
    assert given[f"LEDGER_WORKER_{setting}_FILE"].startswith(f"{MOUNTED}/")
    volumes = {one["name"]: one.get("secret", {}).get("secretName") for one in pod["volumes"]}
    assert (volumes["secret"], volumes["kafka"]) == (secret, user)
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounted["secret"] == MOUNTED
    secrets = {name for name in given if name.endswith("_FILE")}
    own = {f"LEDGER_WORKER_{setting}_FILE", "LEDGER_WORKER_KAFKA__CLIENT_FILE"}
    assert secrets == own


@pytest.mark.parametrize("component", [*COMPONENTS, "backfill"])
def test_their_environment_is_understood(
    component: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings take every variable; each file's content is where the command looks for it."""
    found = backfill() if component == "backfill" else deployment(component)
    contents = {"kafka": "{}", "secret": "a_secret"}
    for key, value in environment(containers(found)[0]).items():
        if value.startswith("/etc/ledger-worker/"):
            file = tmp_path / key
            file.write_text(contents[value.split("/")[3]])
            monkeypatch.setenv(key, str(file))
        else:
            monkeypatch.setenv(key, value)
    settings = load_settings()
    taken = {
        "webhooks": lambda: settings.feed.webhook_secrets == ("a_secret",),
        "settlements": lambda: (
            (settings.feed.api_key, settings.feed.poll_seconds) == ("a_secret", 30)
        ),
        "backfill": lambda: settings.feed.api_key == "a_secret",
        "serve": lambda: settings.serve.tokens_file == str(tmp_path / _TOKENS),
        "sync": lambda: settings.sync.dsn == "a_secret",
    }
    assert taken[component]()
    assert settings.topics.feed == "ledger.feed"
    feeds = component in {"settlements", "backfill"}
    assert settings.feed.account == ("acct_1" if feeds else "")


_TOKENS = "LEDGER_WORKER_SERVE__TOKENS_FILE"


@pytest.mark.parametrize("component", COMPONENTS)
def test_they_are_probed_and_ended_gently(component: str) -> None:
    """Alive and ready on a port that the container has; time for what is under way."""
    found = deployment(component)
    pod, (container,) = pod_of(found), containers(found)
    if component == "sync":
        assert found["spec"]["strategy"] == {"type": "Recreate"}
        assert found["spec"]["replicas"] == 1
    ports = {one["name"] for one in container["ports"]}
    probes = {name: container[name]["httpGet"] for name in container if "Probe" in name}
    assert {one["port"] for one in probes.values()} <= ports
    assert {name: one["path"] for name, one in probes.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    needed = {
        "webhooks": 2 * DRAIN_SECONDS + load_settings().feed.deadline_seconds,
        "settlements": TRANSACTION_TIMEOUT_MS / 1000,
        "serve": 2 * DRAIN_SECONDS,
        "sync": load_settings().sync.deadline_seconds,
    }
    assert pod["terminationGracePeriodSeconds"] > needed[component]


@pytest.mark.parametrize("component", [*COMPONENTS, "backfill"])
def test_only_who_reaches_the_ledger_may_use_io_uring(component: str) -> None:
    """The feed runs under the runtime's own profile; all are locked down."""
    found = backfill() if component == "backfill" else deployment(component)
    pod, (container,) = pod_of(found), containers(found)
    to_ledger = component in {"serve", "sync"}
    profile = pod["securityContext"]["seccompProfile"]["type"]
    assert profile == ("Localhost" if to_ledger else "RuntimeDefault")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_network_lets_each_do_its_own_work() -> None:
    """Who posts, asks and scrapes comes in; out go Kafka, and what each needs beside it."""
    policies = {
        one["metadata"]["name"].removeprefix("books-ledger-worker"): one["spec"]
        for one in resources(FOUND)
        if one["kind"] == "NetworkPolicy"
    }
    opened = {
        name: (
            {port["port"] for rule in one["ingress"] for port in rule["ports"]},
            {port["port"] for rule in one["egress"] for port in rule["ports"]} - {53},
        )
        for name, one in policies.items()
    }
    assert opened == {
        "": ({9464}, {9092, 3000}),
        "-webhooks": ({9464, 9466}, {9092}),
        "-stripe": ({9464}, {9092, 443}),
        "-serve": ({9465}, {9092, 3000}),
        "-sync": ({9464}, {9092, 3000, 6432}),
    }
    controller = {"namespaceSelector": {"matchLabels": {"name": "ingress"}}}
    apps, prometheus = {"podSelector": {"matchLabels": {"app": "shop"}}}, FOUND["networkPolicy"]
    posts = [rule["from"] for rule in policies["-webhooks"]["ingress"]]
    assert posts == [prometheus["ingressFrom"], [controller]]
    (asks,) = (rule["from"] for rule in policies["-serve"]["ingress"])
    assert asks == [apps, *prometheus["ingressFrom"]]


def test_every_pod_is_under_one_policy() -> None:
    """No pod of the chart is without a NetworkPolicy, and none is under two."""
    found = resources(FOUND)
    policies = [one["spec"]["podSelector"] for one in found if one["kind"] == "NetworkPolicy"]
    for one in found:
        if one["kind"] in {"Deployment", "StatefulSet", "Job"}:
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert [_selects(policy, labels) for policy in policies].count(True) == 1, labels


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector["matchLabels"].items() <= labels.items()
    among = (
        labels[one["key"]] in one["values"]
        for one in selector.get("matchExpressions", [])
    )  # fmt: skip
    return wanted and all(among)


def services(found: list[Resource]) -> Iterator[tuple[Resource, Resource]]:
    """Each Service, with the workload that it selects."""
    workloads = [one for one in found if one["kind"] in {"Deployment", "StatefulSet"}]
    for one in found:
        if one["kind"] == "Service":
            wanted = one["spec"]["selector"].items()
            (behind,) = (
                workload
                for workload in workloads
                if wanted <= workload["spec"]["template"]["metadata"]["labels"].items()
            )
            yield one, behind


def test_services_and_budgets_find_their_pods() -> None:
    """Each Service leads to a port of one workload; each workload that has ports has a budget."""
    found = resources(FOUND)
    reached = {}
    for service, workload in services(found):
        ports = {port["name"] for one in containers(workload) for port in one.get("ports", [])}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports
            reached[service["metadata"]["name"], port["name"]] = port["targetPort"]
    name = "books-ledger-worker"
    assert reached == {
        (name, "metrics"): "metrics",
        (f"{name}-webhooks", "http"): "http",
        (f"{name}-webhooks-metrics", "metrics"): "metrics",
        (f"{name}-settlements-metrics", "metrics"): "metrics",
        (f"{name}-serve", "http"): "http",
        (f"{name}-serve-metrics", "metrics"): "http",
        (f"{name}-sync-metrics", "metrics"): "metrics",
    }
    budgets = {
        one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for one in found
        if one["kind"] == "PodDisruptionBudget"
    }
    assert budgets == {"worker", "webhooks", "settlements", "serve", "sync"}


def test_stripe_comes_in_by_https() -> None:
    """The Ingress has a certificate, and leads the one path to the endpoint's Service."""
    ingress = only(resources(FOUND), "Ingress")["spec"]
    assert ingress["tls"] == [{"hosts": ["books.example"], "secretName": "certificate"}]
    (path,) = ingress["rules"][0]["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/hooks", "Exact")
    service = path["backend"]["service"]
    assert service == {"name": "books-ledger-worker-webhooks", "port": {"name": "http"}}
    assert (
        environment(containers(deployment("webhooks"))[0])["LEDGER_WORKER_FEED__PATH"] == "/hooks"
    )


def test_a_backfill_is_a_job_of_its_own_values() -> None:
    """What would be another pod is another Job, because a Job's pod cannot be changed.

    Exit code 2 ends it: a wrong key stays wrong.
    """
    same, other = backfill(), backfill({**FOUND, "image": {"tag": "9.9.9"}})
    assert same["metadata"]["name"] != other["metadata"]["name"]
    assert containers(same)[0]["args"] == ["feed", "backfill", "--from", "2024-01-01"]
    fails, ignores = same["spec"]["podFailurePolicy"]["rules"]
    assert fails["action"] == "FailJob"
    assert fails["onExitCodes"]["values"] == [2]
    assert ignores["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_serve_scales_on_cpu_within_the_ledgers_sessions() -> None:
    """The Deployment leaves its number to the autoscaler, and the most that it makes counts."""
    assert "replicas" not in deployment("serve")["spec"]
    scaled = only(resources(FOUND), "HorizontalPodAutoscaler", "serve")["spec"]
    assert (scaled["minReplicas"], scaled["maxReplicas"]) == (2, 5)
    too_many = {**FOUND, "replicas": 28}
    assert "sessions of TigerBeetle's 64" in rendered(too_many).stderr


KEYS = {"stripeKey": {"name": "stripe"}}

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"feed": {"webhooks": {"enabled": True}}}, "anybody could send a charge"),
    ({"feed": {"settlements": {"enabled": True}}}, "feed.stripeKey.name"),
    ({"feed": {**KEYS, "backfill": {"enabled": True}}}, "feed.backfill.from"),
    ({"feed": {"backfill": {"from": "last year"}}}, "from"),
    ({"feed": {"webhooks": {"path": "stripe"}}}, "path"),
    ({"feed": {"webhooks": {"enabled": True, "existingSecret": {"name": "a"},
                            "ingress": {"enabled": True, "host": "a.example"}}}}, "tlsSecret"),
    ({"serve": {"enabled": True}}, "anybody could read balances"),
    ({"serve": {"autoscaling": {"enabled": True, "minReplicas": 5}}}, "serve.autoscaling"),
    ({"sync": {"enabled": True}}, "sync.dsnSecret.name"),
    ({"ledger": {"kind": "sidecar"}, "replicas": 1,
      "serve": {"enabled": True, "tokensSecret": {"name": "a"}}}, "serve and sync cannot reach"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "says"), REFUSED)
def test_what_cannot_work_is_refused(values: dict[str, Any], says: str) -> None:
    """Before anything is made, with the name of the value."""
    done = rendered(values)
    assert done.returncode != 0
    assert says in done.stderr


def test_alerts_see_their_own_release_only() -> None:
    """Every series of every alert is of this namespace, and of Services that the chart makes."""
    found = resources({**FOUND, "prometheusRule": {"enabled": True}})
    groups = only(found, "PrometheusRule")["spec"]["groups"]
    names = {service["metadata"]["name"] for service, _ in services(found)}
    for alert in (rule for group in groups for rule in group["rules"]):
        text = alert["expr"]
        promql_parser.parse(text)
        metrics = re.findall(r"ledger_worker_\w+", text)
        scopes = re.findall(r'ledger_worker_\w+\{namespace="money",service=~"([^"]*)"', text)
        assert len(metrics) == len(scopes) > 0, alert["alert"]
        assert len(set(scopes)) == 1
        scraped = {name for name in names if re.fullmatch(scopes[0], name)}
        assert scraped == names - {"books-ledger-worker-webhooks", "books-ledger-worker-serve"}


def test_the_table_of_values_is_written_from_them() -> None:
    """The chart's README is what `make docs` writes."""
    assert (CHART / "README.md").read_text() == readme()
