"""Kafka alone: consume, and produce two records for each event, in transactions, with no work.

What no worker in Python can go below. Records and headers are as large as the worker's.
"""

from __future__ import annotations

import sys

from bench.loop import Headers, Loop
from bench.straight import BATCH, FIXED_HEADERS

VALUE = bytes(range(256)) + bytes(range(34))
HEADERS: Headers = [
    ("ce_id", b"0" * 32),
    ("ce_time", b"2026-01-31T23:59:59.000000Z"),
    *FIXED_HEADERS,
]


def main() -> None:
    loop = Loop.from_arguments(sys.argv[1:])
    for messages in loop.batches(BATCH):
        loop.begin()
        for message in messages:
            for _ in range(2):
                loop.produce(VALUE, message.key() or b"", HEADERS)
        loop.commit(messages)
    loop.report()


if __name__ == "__main__":
    main()
