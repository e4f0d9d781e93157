"""The shape of the package: sizes, names, and imports that point one way; no allow-list."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
FORBIDDEN_WORDS = {"manager", "helper", "helpers", "util", "utils", "process", "data", "misc"}

ADAPTERS = (
    "worker.codecs",
    "worker.kafka.topics",
    "worker.kafka",
    "worker.ledger",
    "worker.observe",
    "worker.rulebooks",
    "worker.jobs.serve",
)
ABOVE_ADAPTERS = (
    "worker.commands.cli",
    "worker.commands",
    "worker.jobs.live.compose",
    "worker.observe.batch_observer",
    "worker.pipeline",
)
SETTINGS = (
    "worker.config.settings",
    "worker.config.values",
    "worker.config.settings_page",
    "worker.config.sections",
)


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; relative imports are not used here."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def importing(importers: tuple[str, ...], imported: tuple[str, ...]) -> list[str]:
    """The imports from `importers` that lead into `imported`."""
    return [
        f"{module_name(path)} imports {name}"
        for path in sources("worker")
        if within(module_name(path), importers)
        for name in imports(path)
        if within(name, imported)
    ]


def importers_of(package: str) -> set[str]:
    return {
        module_name(path)
        for path in sources("worker")
        if any(within(name, (package,)) for name in imports(path))
    }


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_are_short() -> None:
    """No function of the worker or its tests is longer than 70 lines."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources("worker", "tests", "bench")
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_modules_are_short() -> None:
    """No module of the worker or its tests is longer than 400 lines."""
    long = [
        str(path.relative_to(ROOT))
        for path in sources("worker", "tests", "bench")
        if len(path.read_text(encoding="utf-8").splitlines()) > MODULE_LINES_MAX
    ]
    assert long == []


def test_modules_are_named_for_what_they_are() -> None:
    """No module is called manager, helper, utils, process or data."""
    named = [
        str(path.relative_to(ROOT))
        for path in sources("worker", "tests", "bench")
        if FORBIDDEN_WORDS & {word for part in path.parts[-2:] for word in words(part)}
    ]
    assert named == []


def words(part: str) -> list[str]:
    return part.removesuffix(".py").split("_")


def test_modules_say_what_they_are() -> None:
    """Every module of the worker opens with a docstring."""
    silent = [module_name(path) for path in sources("worker") if not ast.get_docstring(tree(path))]
    assert silent == []


def test_the_core_is_pure() -> None:
    """The core imports the standard library and itself, and nothing else."""
    foreign = [
        f"{module_name(path)} imports {name}"
        for path in sources("worker/core")
        for name in imports(path)
        if not within(name, ("worker.core",)) and name.split(".")[0] not in sys.stdlib_module_names
    ]
    assert foreign == []


def test_the_ports_know_the_core_only() -> None:
    """The ports import the standard library and the core, and nothing else."""
    foreign = [
        name
        for name in imports(ROOT / "worker" / "core" / "ports.py")
        if not within(name, ("worker.core",)) and name.split(".")[0] not in sys.stdlib_module_names
    ]
    assert foreign == []


@pytest.mark.parametrize(
    ("importers", "imported"),
    [
        (ADAPTERS, ABOVE_ADAPTERS),
        (("worker.pipeline", "worker.stages.batch", "worker.stages.partitions"), ADAPTERS),
        (("worker.stages.post",), (*ADAPTERS, *ABOVE_ADAPTERS)),
        (SETTINGS, (*ADAPTERS, *ABOVE_ADAPTERS)),
        (
            ("worker.pipeline", "worker.observe.batch_observer", "worker.jobs.live.compose"),
            ("worker.commands",),
        ),
    ],
    ids=["adapters", "pipeline", "posting", "settings", "composition"],
)
def test_imports_point_one_way(importers: tuple[str, ...], imported: tuple[str, ...]) -> None:
    """Core ← ports ← adapters ← pipeline ← command line: nothing imports against the arrow."""
    assert importing(importers, imported) == []


def test_only_the_adapter_imports_tigerbeetle() -> None:
    """One module imports the TigerBeetle client, so that everything else runs without it."""
    assert importers_of("tigerbeetle") <= {"worker.ledger.tigerbeetle"}


def test_only_the_kafka_package_imports_its_client() -> None:
    """confluent_kafka is imported under worker/kafka/ alone."""
    assert [
        one for one in importers_of("confluent_kafka") if not within(one, ("worker.kafka",))
    ] == []


def test_only_the_cache_imports_psycopg() -> None:
    """One module imports PostgreSQL's client, and it is imported only when `sync` runs."""
    assert importers_of("psycopg") == {"worker.jobs.sync.postgres"}
    assert importers_of("worker.jobs.sync.postgres") == {"worker.jobs.sync.run"}


def test_only_the_server_imports_waitress() -> None:
    """One module imports the HTTP library, so that everything else runs without it."""
    assert importers_of("waitress") == {"worker.jobs.serve.server"}


def test_importing_does_nothing(tmp_path: Path) -> None:
    """Every module can be imported without a word, a file, a thread, or the TigerBeetle client."""
    wanted = [
        name
        for name in map(module_name, sources("worker"))
        if name not in {"worker.__main__", "worker.ledger.tigerbeetle"}
    ]
    program = (
        "import importlib, sys, threading\n"
        f"for name in {wanted!r}: importlib.import_module(name)\n"
        "assert 'tigerbeetle' not in sys.modules, 'tigerbeetle'\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())
