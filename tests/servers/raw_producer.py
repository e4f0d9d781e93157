"""Writes records that confluent-kafka's producer cannot: any bytes as a header's name.

It calls the librdkafka that confluent-kafka brings, whose `rd_kafka_header_add` takes bytes
(rdkafka.h, "Producer API" and "Message headers").
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import confluent_kafka

TOPIC, PARTITION, VALUE, KEY, FLAGS, TIMESTAMP, HEADERS = 1, 3, 4, 5, 7, 8, 10
COPY = 2
ERROR_BYTES = 512
FLUSH_MS = 60_000
QUEUE_FULL = -184
POLL_MS = 100
DEFAULTS = {"message.max.bytes": "20000000", "queue.buffering.max.kbytes": "262144"}

Headers = Iterable[tuple[bytes, bytes | None]]


class _Bytes(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Content(ctypes.Union):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("flags", ctypes.c_int),
        ("number", ctypes.c_int32),
        ("wide", ctypes.c_int64),
        ("bytes", _Bytes),
        ("pointer", ctypes.c_void_p),
        ("room", ctypes.c_char * 64),
    )


class _Argument(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("content", _Content))


def _argument(kind: int, **content: Any) -> _Argument:
    made = _Argument()
    made.kind = kind
    for name, one in content.items():
        setattr(made.content, name, one)
    return made


def _bytes(kind: int, content: bytes | None) -> _Argument:
    if content is None:
        return _argument(kind)
    start = ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p)
    return _argument(kind, bytes=_Bytes(start, len(content)))


@cache
def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    found = ctypes.CDLL(str(next(folder.glob("librdkafka*"))))
    pointer, text, whole, size = (
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_size_t,
    )
    signed = ctypes.c_ssize_t
    declared: Mapping[str, tuple[Any, list[Any]]] = {
        "conf_new": (pointer, []),
        "conf_set": (whole, [pointer, text, text, text, size]),
        "new": (pointer, [whole, pointer, text, size]),
        "destroy": (None, [pointer]),
        "poll": (whole, [pointer, whole]),
        "flush": (whole, [pointer, whole]),
        "headers_new": (pointer, [size]),
        "headers_destroy": (None, [pointer]),
        "header_add": (whole, [pointer, text, signed, text, signed]),
        "produceva": (pointer, [pointer, pointer, size]),
        "error_code": (whole, [pointer]),
        "error_string": (text, [pointer]),
        "error_destroy": (None, [pointer]),
    }
    for name, (answer, arguments) in declared.items():
        call = getattr(found, f"rd_kafka_{name}")
        call.restype, call.argtypes = answer, arguments
    return found


class RawProducer:
    """A producer of records of any kind. delivery reports are not looked at: `flush` waits."""

    def __init__(self, bootstrap_servers: str) -> None:
        error = ctypes.create_string_buffer(ERROR_BYTES)
        config = _library().rd_kafka_conf_new()
        for name, value in {"bootstrap.servers": bootstrap_servers, **DEFAULTS}.items():
            outcome = _library().rd_kafka_conf_set(
                config, name.encode(), value.encode(), error, ERROR_BYTES
            )
            assert outcome == 0, error.value
        self._client = _library().rd_kafka_new(0, config, error, ERROR_BYTES)
        assert self._client, error.value

    def produce(  # noqa: PLR0913 - the parts of a record
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int = -1,
        timestamp_ms: int = 0,
        headers: Headers = (),
    ) -> None:
        """One record; the client copies it. timestamp_ms: 0 means now."""
        call: Callable[..., Any] = _library().rd_kafka_produceva
        listed = _library().rd_kafka_headers_new(8)
        for name, content in headers:
            size = -1 if content is None else len(content)
            assert _library().rd_kafka_header_add(listed, name, len(name), content, size) == 0
        arguments = (
            _argument(TOPIC, text=topic.encode()),
            _argument(PARTITION, number=partition),
            _bytes(VALUE, value),
            _bytes(KEY, key),
            _argument(TIMESTAMP, wide=timestamp_ms),
            _argument(FLAGS, flags=COPY),
            _argument(HEADERS, pointer=listed),
        )
        block = (_Argument * len(arguments))(*arguments)
        while (error := call(self._client, block, len(arguments))) is not None:
            code, said = (
                _library().rd_kafka_error_code(error),
                _library().rd_kafka_error_string(error),
            )
            _library().rd_kafka_error_destroy(error)
            assert code == QUEUE_FULL, said
            _library().rd_kafka_poll(self._client, POLL_MS)

    def flush(self) -> None:
        """Wait until all of it is written."""
        assert _library().rd_kafka_flush(self._client, FLUSH_MS) == 0

    def close(self) -> None:
        """Release the client."""
        _library().rd_kafka_destroy(self._client)
