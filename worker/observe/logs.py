"""Logs: one JSON object per line on stderr, never with payloads, card data or secrets."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

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

AGAIN_SECONDS: Final = 10.0
KINDS_MAX: Final = 256
_NUMBERS: Final = re.compile(r"\d+")


def configure_logging(
    *,
    level: Level,
    format: Literal["json", "console"],  # noqa: A002 - the setting's name
    stream: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Send every log line, structlog's and the standard library's, to `stream` (stderr).

    now: seconds of a clock that never goes back.
    """
    out = stream if stream is not None else sys.stderr
    least = getattr(logging, level.upper())
    structlog.configure(
        processors=_processors(format),
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=least, handlers=[_Forward(now)], force=True)


def _processors(format: Literal["json", "console"]) -> list[Processor]:  # noqa: A002
    written: Processor = structlog.processors.JSONRenderer(sort_keys=False)
    if format == "console":
        written = structlog.dev.ConsoleRenderer(colors=False)
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        *([structlog.processors.format_exc_info] if format == "json" else []),
        written,
    ]


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
