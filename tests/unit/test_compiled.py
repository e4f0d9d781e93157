"""The two kinds of the worker: plain Python, and with its hot modules compiled to C.

`make test COMPILED=1` runs any tests on the second; what it sets says which kind must be here.
"""

from __future__ import annotations

import os
import runpy
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any
from unittest import mock

import setuptools  # type: ignore[import-untyped] # it has none

ROOT = Path(__file__).parents[2]


def build() -> dict[str, Any]:
    """What setup.py says, without a build."""
    with mock.patch.object(setuptools, "setup"), mock.patch.dict(os.environ):
        os.environ.pop("WORKER_COMPILED", None)
        return runpy.run_path(str(ROOT / "setup.py"))


def test_each_pattern_names_modules() -> None:
    """A module that was moved is not left out of the build without a word."""
    for pattern in build()["COMPILED"]:
        assert list(ROOT.glob(pattern)), pattern


def test_the_kind_that_was_asked_for_is_here() -> None:
    """Neither is a compiled module left in the tree, nor is plain Python tested in its place."""
    for path in build()["modules"]():
        name = path.removesuffix(".py").replace("/", ".")
        found = import_module(name).__file__ or ""
        compiled = found.endswith(tuple(EXTENSION_SUFFIXES))
        assert compiled == bool(os.environ.get("WORKER_COMPILED")), found
