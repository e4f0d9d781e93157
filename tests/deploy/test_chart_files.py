"""The chart's files by themselves, without Helm: values, their schema, and what templates name."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.chart import CHART
from tests.deploy.known import known_variables


@cache
def defaults() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return loaded


def leaves(values: Any, path: str = "") -> list[str]:
    """Every path in values.yaml."""
    if not isinstance(values, dict) or not values:
        return [path]
    return [each for key, one in values.items() for each in leaves(one, f"{path}.{key}".strip("."))]


def test_the_default_values_fit_their_schema_and_unknown_ones_do_not() -> None:
    """values.schema.json takes values.yaml, and refuses a key that is not in it, at any depth."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.validate(defaults(), schema)
    for path in ("", "kafka", "ledger.statsd", "jobs.replay"):
        changed = copy.deepcopy(defaults())
        at = changed
        for part in filter(None, path.split(".")):
            at = at[part]
        at["unknown"] = 1
        with pytest.raises(jsonschema.ValidationError, match="unknown"):
            jsonschema.validate(changed, schema)


def test_the_readme_has_every_value() -> None:
    """The table in the chart's README names each value of values.yaml, and no other."""
    named = re.findall(r"^\| `([\w.]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
    known = leaves(defaults())
    for name in named:
        assert any(f"{one}.".startswith(f"{name}.") for one in known), name
    for one in known:
        assert any(f"{one}.".startswith(f"{name}.") for name in named), one


def test_templates_name_only_values_that_exist() -> None:
    """Each `.Values.x.y` in a template is a path of values.yaml."""
    known = leaves(defaults())
    for template in (CHART / "templates").iterdir():
        for path in re.findall(r"\.Values\.([A-Za-z][\w.]*)", template.read_text()):
            name = path.rstrip(".")
            assert any(f"{one}.".startswith(f"{name}.") for one in known), (template.name, name)


def test_templates_name_only_settings_that_exist() -> None:
    """Each LEDGER_WORKER_ variable in a template is one of the worker's."""
    for template in (CHART / "templates").iterdir():
        named = set(re.findall(r"LEDGER_WORKER_[A-Z_]+", template.read_text()))
        assert named <= known_variables(), template.name
