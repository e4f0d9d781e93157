"""The values that the chart is rendered with in tests: what people set, alone and together."""

from __future__ import annotations

from typing import Any

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
        "metrics": {"balances": ["stripe_clearing", "suspense"]},
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
    "placed": {
        "nodeSelector": {"pool": "money"},
        "tolerations": [{"key": "money", "operator": "Exists"}],
        "priorityClassName": "high",
        "affinity": {"nodeAffinity": {}},
        "podLabels": {"team": "books"},
        "podAnnotations": {"a": "b"},
        "ledger": {"kind": "statefulset"},
        "jobs": {**ALL_JOBS, "schemas": {"enabled": False}},
    },
    "everything": {
        "autoscaling": {"kind": "keda", "maxReplicas": 8},
        "rulebook": {"content": "version: 1\n"},
        "ledger": {"kind": "statefulset"},
        "jobs": ALL_JOBS,
        "schemaRegistry": REGISTRY,
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True},
        "networkPolicy": {
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "egressPorts": [8443],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
    },
    "stripe and reads": {
        "kafka": {"existingSecret": {"name": "workers"}},
        "events": {"livemode": "true", "account": "acct_1"},
        "ledger": {"addresses": ["10.0.0.1:3000"]},
        "networkPolicy": {
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
        },
        "feed": {
            "kafkaSecret": {"name": "stripe-user"},
            "stripeKey": {"name": "stripe"},
            "webhooks": {
                "enabled": True,
                "existingSecret": {"name": "signing"},
                "path": "/hooks",
                "leaveOutIgnored": True,
                "ingress": {"enabled": True, "host": "books.example", "tlsSecret": "certificate"},
                "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
            },
            "settlements": {"enabled": True, "from": "2026-01-01", "pollSeconds": 30},
            "backfill": {"enabled": True, "from": "2024-01-01"},
        },
        "serve": {
            "enabled": True,
            "tokensSecret": {"name": "tokens"},
            "ingressFrom": [{"podSelector": {"matchLabels": {"app": "shop"}}}],
            "autoscaling": {"enabled": True, "maxReplicas": 5},
        },
        "sync": {
            "enabled": True,
            "dsnSecret": {"name": "database"},
            "kafkaSecret": {"name": "sync-user"},
            "create": True,
            "databasePort": 6432,
        },
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
