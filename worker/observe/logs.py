"""Logs on stderr, never with payloads, card data or secrets: JSON, or short lines for people."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from worker.core.visible import visible

REDACTED: Final = "[redacted]"
_DEPTH_MAX: Final = 6

_FORBIDDEN: Final = frozenset(
    {
        *("value", "payload", "body", "headers", "record", "message_value"),
        *("password", "passwd", "secret", "token", "sasl", "credential", "credentials"),
        *("authorization", "cookie", "client", "card", "iban", "pem", "jaas"),
    }
)
_WORDS: Final = re.compile(r"[a-z0-9]+")

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

AGAIN_SECONDS: Final = 10.0
KINDS_MAX: Final = 256
_NUMBERS: Final = re.compile(r"\d+")


def configure_logging(
    *,
    level: Level,
    format: Format,  # noqa: A002 - the setting's name
    stream: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Send every log line, structlog's and the standard library's, to `stream` (stderr).

    format: `auto` is `console` on a terminal and `json` elsewhere.
    now: seconds of a clock that never goes back.
    """
    out = stream if stream is not None else sys.stderr
    terminal = out.isatty()
    console = format == "console" or (format == "auto" and terminal)
    least = getattr(logging, level.upper())
    structlog.configure(
        processors=_for_people(colors=terminal) if console else _for_programs(),
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=least, handlers=[_Forward(now)], force=True)


def log_internal_error(log: FilteringBoundLogger, error: Exception) -> None:
    """An error that a server survives, by type and line: its text could hold what was sent."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = f"{Path(frame.filename).name}:{frame.lineno}"
    log.error("internal_error", error=type(error).__name__, place=line)


def _for_programs() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(sort_keys=False),
    ]


def _for_people(*, colors: bool) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%SZ", utc=True),
        redact,
        short_lists,
        structlog.dev.ConsoleRenderer(
            colors=colors and not os.environ.get("NO_COLOR"), pad_event_to=0, pad_level=False
        ),
    ]


def short_lists(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001
    """The structlog processor that writes partitions as ranges; empty lists say nothing."""
    return {
        key: partition_ranges(item) if isinstance(item, list) else item
        for key, item in event.items()
        if item != []
    }


def partition_ranges(names: Sequence[Any]) -> str:
    """Names of partitions by topic, as `stripe.payments/0-3,7`; what is none stays as it is."""
    numbers: dict[str, list[int]] = {}
    others: list[str] = []
    for name in map(str, names):
        topic, _, number = name.rpartition("/")
        if topic and number.isdecimal():
            numbers.setdefault(topic, []).append(int(number))
        else:
            others.append(name)
    texts = [f"{topic}/{_ranges(sorted(found))}" for topic, found in numbers.items()]
    return " ".join([*texts, *others])


def _ranges(numbers: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001
    """The structlog processor that leaves payloads and secrets out."""
    return {key: item if key == "exc_info" else _clean(key, item, 0) for key, item in event.items()}


def _clean(key: str, item: Any, depth: int) -> Any:  # noqa: ANN401 - a log field is anything
    if _FORBIDDEN.intersection(_WORDS.findall(key.lower())):
        return REDACTED
    if isinstance(item, bytes | bytearray | memoryview):
        return f"[{len(item)} bytes]"
    if depth >= _DEPTH_MAX:
        return REDACTED
    if isinstance(item, Mapping):
        return {
            visible(str(name)): _clean(str(name), part, depth + 1) for name, part in item.items()
        }
    if isinstance(item, list | tuple | set | frozenset):
        return [_clean("", part, depth + 1) for part in item]
    return visible(item) if isinstance(item, str) else item


class _Forward(logging.Handler):
    """The libraries' log records, as lines of ours.

    A client that cannot connect logs many times a second: lines that differ in numbers only are
    written once in `AGAIN_SECONDS`, with their count.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        repeated = self._repeated(record)
        if repeated is None:
            return
        fields: dict[str, Any] = {"logger": record.name}
        if repeated:
            fields["repeated"] = repeated
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        known = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        structlog.get_logger().log(known, record.getMessage(), **fields)

    def _repeated(self, record: logging.LogRecord) -> int | None:
        """How often this was said since it was last written; None while it need not be written."""
        kind, now = (record.name, _NUMBERS.sub("0", record.getMessage())), self._now()
        written_at, since = self._said.get(kind, (now - AGAIN_SECONDS, 0))
        if now - written_at < AGAIN_SECONDS:
            self._said[kind] = (written_at, since + 1)
            return None
        if len(self._said) >= KINDS_MAX:
            self._said.clear()
        self._said[kind] = (now, 0)
        return since
