"""Public specifications by which rendered and written files are checked."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

FILES = Path(__file__).parent / "specifications"
CUSTOM = {"ScaledObject", "ServiceMonitor", "PrometheusRule", "KafkaTopic", "KafkaUser"}
"""Kinds of resources that are not Kubernetes' own."""


def validate_compose(compose: Any) -> None:
    """Raise `jsonschema.ValidationError` unless this is a compose file."""
    jsonschema.validate(compose, _read("compose"))


def validate_custom(resource: dict[str, Any]) -> None:
    """Raise `jsonschema.ValidationError` unless its operator takes this resource whole."""
    jsonschema.validate(resource, _closed(resource["kind"]))


def _read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FILES / f"{name}.json").read_text())
    return loaded


@cache
def _closed(kind: str) -> dict[str, Any]:
    """A resource's schema; what it does not name is an error, as `kubectl` has it."""
    schema = _read(kind)
    _close(schema)
    return schema


def _close(schema: Any) -> None:
    if isinstance(schema, list):
        for one in schema:
            _close(one)
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    if str(schema.get("pattern", "")).startswith("^(?i)"):  # Go's form; Python wants it first
        schema["pattern"] = "(?i)^" + schema["pattern"].removeprefix("^(?i)")
    for one in schema.values():
        _close(one)
