"""The worker on the benchmark's topic: the real command's parts, with its CPU measured.

A process of its own; settings come from the environment. Prints one JSON line.
"""

from __future__ import annotations

import time

from bench.straight import report
from worker.commands.run import Stop, work
from worker.compose import open_worker
from worker.config import load_settings
from worker.observe.logs import configure_logging


def main() -> None:
    settings = load_settings()
    configure_logging(level="warning", format="console")
    with open_worker(settings) as worker:
        began, cpu = time.monotonic(), time.process_time()
        work(worker, stop=Stop(), drain=True)
        used = time.process_time() - cpu
        report(worker.pipeline.settled, time.monotonic() - began, used)


if __name__ == "__main__":
    main()
