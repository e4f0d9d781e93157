"""Packages that only some commands need, in extras: `pip install 'ledger-worker[serve]'`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker.core.errors import UsageError


@contextmanager
def optional_packages(purpose: str, *, extra: str) -> Iterator[None]:
    """Around imports: say what to install where a package is missing.

    purpose: what needs the packages.

    Raises:
        UsageError: a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == "worker":
            raise
        raise UsageError(
            f"{purpose} needs the package {error.name}: pip install 'ledger-worker[{extra}]'"
        ) from error
