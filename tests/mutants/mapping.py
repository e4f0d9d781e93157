"""Which tests call which functions of the worker, and how long each takes.

A pytest plugin writes it down in one run without a mistake; `chosen` picks by it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import pytest

from tests.mutants.mutations import ROOT

WORKER: Final = str(ROOT / "worker") + "/"
COLLECTING: Final = ""
"""In the place of a test's id: what is called while test files are imported."""

SECONDS_OF_A_CALL: Final = 0.002
"""A test of few functions is likelier to see a mistake in one of them."""

OWN_ARGUMENTS: Final = (
    "-q", "-p", "no:cacheprovider", "-p", "no:anyio", "-p", "_hypothesis_pytestplugin",
    "--assert=plain",
)  # fmt: skip
"""Nobody reads what a failing assertion says, and a mistake should cost no second more."""


@dataclass(slots=True)
class CallMap:
    """Tests by the functions that they call.

    seconds: of each test. callers: tests by `path:function`.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    callers: dict[str, set[str]] = field(default_factory=dict)

    def tests(self, module: str, function: str) -> list[str]:
        """Who may see a mistake there: its module's own tests first, then those that call little.

        Where a function is called while modules are imported, or by nobody, and for what belongs to
        none, that is everybody who calls anything of the module, and each test of a file that
        imports it: a test of a table calls nothing.
        """
        own = self.callers.get(f"{module}:{function}", set())
        if not function or function.endswith(".") or COLLECTING in own or not own:
            prefix = f"{module}:"
            own = {
                test
                for key, tests in self.callers.items()
                if key.startswith(prefix)
                for test in tests
            }
            own |= {test for test in self.seconds if _imports(test.partition("::")[0], module)}
            if not own - {COLLECTING}:
                own = self._of_importers(module)
        called = Counter(test for tests in self.callers.values() for test in tests & own)

        def rank(test: str) -> tuple[bool, float, str]:
            seconds = self.seconds.get(test, 0.0) + SECONDS_OF_A_CALL * called[test]
            return not _imports(test.partition("::")[0], module), seconds, test

        return sorted(own - {COLLECTING}, key=rank)

    def _of_importers(self, module: str) -> set[str]:
        """Tests of the modules that import one which has no functions of its own."""
        found = set()
        for key, tests in self.callers.items():
            if _imports(key.partition(":")[0], module):
                found |= tests
        return found


@lru_cache(maxsize=4_096)
def _imports(file: str, module: str) -> bool:
    name = module.removesuffix(".py").replace("/", ".")
    return f"from {name} import" in (ROOT / file).read_text(encoding="utf-8")


class Recorder:
    """Writes down the calls of each test."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self._calls: defaultdict[str, set[CodeType]] = defaultdict(set)
        self._now = self._calls[COLLECTING]

    def start(self) -> None:
        """From now on."""
        threading.setprofile(self._called)
        sys.setprofile(self._called)

    def stop(self) -> None:
        """No longer."""
        sys.setprofile(None)
        threading.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self._now.add(frame.f_code)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """One test, its fixtures included."""
        self._now = self._calls[item.nodeid]
        sys.setprofile(self._called)
        started = time.perf_counter()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = round(time.perf_counter() - started, 4)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that fails without a mistake can show none."""
        if report.failed:
            self.failed.append(report.nodeid)

    def callers(self) -> dict[str, set[str]]:
        """Tests by `path:function`."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for test, codes in self._calls.items():
            for code in codes:
                if code.co_filename.startswith(WORKER):
                    function = code.co_qualname.partition(".<locals>")[0]
                    path = Path(code.co_filename).relative_to(ROOT)
                    found[f"{path}:{'' if '<' in function else function}"].add(test)
        return dict(found)
