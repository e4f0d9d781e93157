"""Runs tests with one mistake in a process of its own, until a test fails or none is left.

The process is forked from one that has imported what is slow to import and nothing of the worker:
so tables that are made at import have the mistake too.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

import pytest
from hypothesis import Phase, settings

from tests.mutants.mapping import OWN_ARGUMENTS, CallMap, Recorder
from tests.mutants.mutations import ROOT, Mutant

SLOW_IMPORTS: Final = (
    "confluent_kafka", "confluent_kafka.schema_registry", "duckdb", "fastavro", "fastapi",
    "hypothesis.strategies", "jsonschema", "orjson", "prometheus_client", "psycopg",
    "pydantic_settings", "rich.table", "structlog", "tenacity", "testcontainers.core",
    "tigerbeetle", "uvicorn", "yaml",
)  # fmt: skip
FIRST_TESTS: Final = 40
"""So many of the likeliest tests go first, alone: most mistakes end there."""

TESTS_SECONDS_MAX: Final = 180.0
"""Of the tests that may see a mistake, the likeliest until so many seconds are spent; as they were
measured while they were watched, which takes three times as long."""

GRACE_SECONDS: Final = 15.0
SLOWER: Final = 4.0
"""A mistake may make tests so much slower; beyond it, they hang."""

FAILED_MAX: Final = 5
"""Tests that measure time may fail while they are watched; more than so many is another matter."""

MEMORY_BYTES_MAX: Final = 4 << 30
UNMARKED: Final = "not kafka and not tigerbeetle and not schema_registry and not postgres"


class Verdict(StrEnum):
    """What became of a mistake."""

    CAUGHT = "caught"
    HUNG = "hung"
    SURVIVED = "survived"
    UNREACHED = "no test calls it"


class Chosen:
    """A plugin: only these tests, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Quickest first."""
        items[:] = [item for item in items if item.nodeid in self._order]
        items.sort(key=lambda item: self._order[item.nodeid])


class Quick:
    """A plugin: a property that fails is not shown to anybody, so nothing is made smaller."""

    def pytest_configure(self) -> None:
        """After the tests' own profile was loaded."""
        settings.register_profile(
            "mutants",
            parent=settings.get_profile("counted"),
            phases=[Phase.explicit, Phase.generate],
            database=None,
            derandomize=True,
        )
        settings.load_profile("mutants")


class MistakenModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a module other code than its file has."""

    def __init__(self, mutant: Mutant, code: CodeType) -> None:
        path = Path(mutant.module).with_suffix("")
        self._name = ".".join(path.parts[:-1] if path.name == "__init__" else path.parts)
        self._path = str(ROOT / mutant.module)
        self._code = code

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        """Its own."""
        if name != self._name:
            return None
        return importlib.util.spec_from_file_location(name, self._path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """The module with the mistake."""
        exec(self._code, module.__dict__)  # noqa: S102 - code of this project, one node changed


def warm_up() -> None:
    """Import what is slow; nothing of the worker's, which would then lack the mistake."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = False  # else each child compiles everything
    for name in SLOW_IMPORTS:
        with suppress(ImportError):
            importlib.import_module(name)
    loaded = [name for name in sys.modules if name == "worker" or name.startswith("worker.")]
    if loaded:
        raise RuntimeError(f"imported before the mistake is in: {loaded[0]}")


def record(files: Sequence[str]) -> CallMap:
    """The calls of these test files. Raises RuntimeError where tests fail without a mistake."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "calls.json"

        def child() -> int:
            recorder = Recorder()
            recorder.start()
            code = pytest.main([*OWN_ARGUMENTS, "-m", UNMARKED, *files], [Quick(), recorder])
            recorder.stop()
            callers = {key: sorted(tests) for key, tests in recorder.callers().items()}
            answer.write_text(json.dumps([recorder.failed, recorder.seconds, callers]))
            return int(code)

        if _in_child(child, seconds=3600.0) not in {0, 1}:
            raise RuntimeError("the tests did not run to their end without a mistake")
        failed, seconds, callers = json.loads(answer.read_text())
    if len(failed) > FAILED_MAX:
        raise RuntimeError(f"these fail without a mistake: {', '.join(failed)}")
    for test in failed:
        print(f"left out, it fails without a mistake: {test}", file=sys.stderr)
        seconds.pop(test, None)
    return CallMap(seconds, {key: set(tests) - set(failed) for key, tests in callers.items()})


def try_out(mutant: Mutant, calls: CallMap) -> Verdict:
    """Do the tests see it?"""
    tests, spent = [], 0.0
    for test in calls.tests(mutant.module, mutant.function):
        spent += calls.seconds.get(test, 0.0)
        if spent > TESTS_SECONDS_MAX:
            break
        tests.append(test)
    if not tests:
        return Verdict.UNREACHED
    for portion in (tests[:FIRST_TESTS], tests[FIRST_TESTS:]):
        if not portion:
            continue
        needed = sum(calls.seconds.get(test, 0.0) for test in portion)
        code = _in_child(lambda: _run(mutant, portion), seconds=GRACE_SECONDS + needed * SLOWER)  # noqa: B023
        if code is None:
            return Verdict.HUNG
        if code != 0:
            return Verdict.CAUGHT
    return Verdict.SURVIVED


def _run(mutant: Mutant, tests: Sequence[str]) -> int:
    sys.meta_path.insert(0, MistakenModule(mutant, mutant.code()))
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    arguments = [*OWN_ARGUMENTS, "-x", "-m", UNMARKED, *files]
    return int(pytest.main(arguments, [Quick(), Chosen(tests)]))


def _in_child(work: Callable[[], int], *, seconds: float) -> int | None:
    """What it answers in a process of its own; None when it did not end in time."""
    process = os.fork()
    if process == 0:
        code = 70
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(nowhere, descriptor)
            code = work()
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            _end_group(process)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    _end_group(process)
    os.waitpid(process, 0)
    return None


def _end_group(process: int) -> None:
    """The child was the first of a group of processes; what it started ends with it."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
