"""Errors outside of an event, each with what the caller should do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal


class WorkerError(Exception):
    """Something a person must act on. The message is one clear sentence without secrets."""

    exit_code: ClassVar[int] = 70


class UsageError(WorkerError):
    """Bad usage or configuration."""

    exit_code: ClassVar[int] = 2


class DependencyUnavailable(WorkerError):
    """A broker, ledger or database could not be reached in time, or refused us."""

    exit_code: ClassVar[int] = 3


class LedgerClosed(DependencyUnavailable):
    """The ledger was closed while a request was under way."""


class Aborted(Exception):
    """The Kafka transaction was aborted: nothing of it was written, and it may be tried again."""


class Unsettled(Exception):
    """The Kafka transaction was written or not: the group's offsets say which."""


class BrokenInvariant(WorkerError):
    """Something that cannot happen did: the process must stop and commit nothing."""

    exit_code: ClassVar[int] = 70


@contextmanager
def named_file(path: object, done: Literal["read", "written"]) -> Iterator[None]:
    """Names the file in what the system says of it.

    Raises:
        UsageError: it cannot be read, or written.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path} cannot be {done}: {error.strerror}") from None
