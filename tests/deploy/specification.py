"""What rendered and written files are checked by.

Compose's public specification; and for resources that are not Kubernetes' own the fields that this
chart may use. They are written down here from the operators' documents: a table of what we use, no
copy of their definitions. What is not named here is an error, as `kubectl` has it for fields that
it does not know.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

FILES = Path(__file__).parent / "specifications"

TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
DURATION = {"type": "string", "pattern": r"^(\d+(ms|s|m|h|d))+$"}
NAMES = {"type": "object", "additionalProperties": {"type": "string"}}
ANYTHING = {"type": "object"}


def only(*required: str, **fields: Any) -> dict[str, Any]:
    """An object of these fields and no others; those named first must be there."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


def every(item: dict[str, Any]) -> dict[str, Any]:
    """A list that is not empty."""
    return {"type": "array", "items": item, "minItems": 1}


TRIGGER = only("type", "metadata", type={"const": "kafka"}, name=TEXT, metadata=NAMES,
    authenticationRef=only("name", name=TEXT, kind=TEXT))  # fmt: skip
SCALED = only("scaleTargetRef", "triggers", "minReplicaCount", "maxReplicaCount",
    scaleTargetRef=only("name", apiVersion=TEXT, kind={"const": "StatefulSet"}, name=TEXT),
    minReplicaCount=COUNT, maxReplicaCount=COUNT, pollingInterval=COUNT, cooldownPeriod=COUNT,
    advanced=only(horizontalPodAutoscalerConfig=only(behavior=ANYTHING)),
    triggers=every(TRIGGER))  # fmt: skip
MONITOR = only("selector", "endpoints",
    selector=only("matchLabels", matchLabels=NAMES),
    endpoints=every(only("port", port=TEXT, path=TEXT, interval=DURATION)))  # fmt: skip
RULE = only("alert", "expr", alert=TEXT, expr=TEXT, labels=NAMES, annotations=NAMES,
    **{"for": DURATION})  # fmt: skip
RULES = only("groups", groups=every(only("name", "rules", name=TEXT, rules=every(RULE))))
TOPIC = only("topicName", "partitions", "replicas",
    topicName=TEXT, partitions={"type": "integer", "minimum": 1},
    replicas={"type": "integer", "minimum": 1}, config=ANYTHING)  # fmt: skip
RESOURCE = only("type", type={"enum": ["topic", "group", "transactionalId", "cluster"]}, name=TEXT,
    patternType={"enum": ["literal", "prefix"]})  # fmt: skip
OPERATION = {
    "enum": [
        *("Read", "Write", "Delete", "Alter", "Describe", "All", "IdempotentWrite"),
        *("ClusterAction", "Create", "AlterConfigs", "DescribeConfigs"),
    ]
}
ACL = only("resource", "operations", type={"enum": ["allow", "deny"]}, resource=RESOURCE,
    operations=every(OPERATION))  # fmt: skip
USER = only("authentication", "authorization",
    authentication=only("type", type={"enum": ["tls", "scram-sha-512", "tls-external"]}),
    authorization=only("type", "acls", type={"const": "simple"}, acls=every(ACL)))  # fmt: skip

SPECS = {
    "ScaledObject": ("keda.sh/v1alpha1", SCALED),
    "ServiceMonitor": ("monitoring.coreos.com/v1", MONITOR),
    "PrometheusRule": ("monitoring.coreos.com/v1", RULES),
    "KafkaTopic": ("kafka.strimzi.io/v1", TOPIC),
    "KafkaUser": ("kafka.strimzi.io/v1", USER),
}
CUSTOM = frozenset(SPECS)
"""Kinds of resources that are not Kubernetes' own."""


def validate_compose(compose: Any) -> None:
    """Raise `jsonschema.ValidationError` unless this is a compose file."""
    jsonschema.validate(compose, _compose())


def validate_custom(resource: dict[str, Any]) -> None:
    """Raise `jsonschema.ValidationError` for another version, or for a field that is not above."""
    version, spec = SPECS[resource["kind"]]
    whole = only(
        *("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": version},
        kind={"const": resource["kind"]},
        metadata={"type": "object", "required": ["name"]},
        spec=spec,
    )
    jsonschema.validate(resource, whole)


@cache
def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FILES / "compose.json").read_text())
    return loaded
