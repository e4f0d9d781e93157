"""The worker on the benchmark's topic: the real command's parts, with their CPU by stage.

A process of its own; settings come from the environment. Prints one JSON line. The stages are the
CPU of Python's two threads between the pipeline's ports; `clients` is what librdkafka and the
ledger's client use in threads of their own.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from threading import get_ident
from typing import Any

from bench.loop import Stopwatch
from worker.config.settings import load_settings
from worker.jobs.live.compose import Worker, open_worker
from worker.jobs.live.drain import drain_check
from worker.jobs.live.run import Stop, work
from worker.jobs.replay import apply as replay
from worker.jobs.replay.plan import ReplayRequest
from worker.jobs.replay.range import Moment
from worker.kafka.topic_reader import open_topic_reader
from worker.observe.logs import configure_logging

PORTS = {
    "consume": ("_source", "poll"),
    "take": ("", "_fill"),
    "decode": ("_reader", "decode"),
    "post": ("_posting", "post"),
    "encode": ("_writer", "write"),
    "commit": ("_announcer", "announce"),
    "observe": ("_observer", "committed"),
}
"""Stage: the pipeline's port, and what is called on it once for each batch."""

EVERYTHING = ReplayRequest(Moment(), Moment())


class _Watched:
    """A port with one call replaced: what is compiled takes no new methods."""

    def __init__(self, port: object, name: str, call: Callable[..., Any]) -> None:
        self._port = port
        setattr(self, name, call)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        return getattr(self._port, name)


class Stages:
    """CPU seconds by stage, without those of a stage inside; each is timed in its own thread."""

    def __init__(self, clock: Stopwatch) -> None:
        self._clock = clock
        self._inside: dict[int, list[float]] = defaultdict(list)
        self.spent: dict[str, float] = defaultdict(float)
        self.batches = 0

    def watch(self, worker: Worker) -> None:
        """Put a stopwatch around the calls of PORTS. The pipeline looks them up at each turn."""
        pipeline: Any = worker.pipeline
        for stage, (port, name) in PORTS.items():
            target = getattr(pipeline, port) if port else pipeline
            timed = self._timed(stage, getattr(target, name))
            if port:
                setattr(pipeline, port, _Watched(target, name, timed))
            else:
                setattr(pipeline, name, timed)

    def _timed(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - passes on what comes
            if stage == "take":
                self._clock.start()
            inside = self._inside[get_ident()]
            inside.append(0.0)
            began = time.thread_time()
            try:
                return call(*given, **named)
            finally:
                whole = time.thread_time() - began
                self.spent[stage] += whole - inside.pop()
                if inside:
                    inside[-1] += whole
                if stage == "post":
                    self.batches += 1
                if stage == "commit" and self._clock.began:
                    self._clock.lap()

        return timed

    def figures(self, *, main_cpu: float) -> dict[str, float]:
        """Each stage's own; Python's main thread does all but posting."""
        spent = dict(self.spent)
        translate = spent.pop("take")
        loop = main_cpu - translate - sum(spent.values()) + spent["post"]
        clients = self._clock.cpu - main_cpu - spent["post"]
        return {**spent, "translate": translate, "loop": loop, "clients": clients}


def timed_work(worker: Worker, **named: Any) -> None:  # noqa: ANN401 - passes on what comes
    """The command's own loop, and a line of figures when it ends."""
    clock = Stopwatch()
    stages = Stages(clock)
    stages.watch(worker)
    began = time.thread_time()
    work(worker, **named)
    main_cpu = time.thread_time() - began
    settled = worker.pipeline.settled
    figures = stages.figures(main_cpu=main_cpu)
    clock.report(settled, stages=figures, batch=settled / max(stages.batches, 1))


def main() -> None:
    """Drain the topic; with the argument `replay`, as `replay --apply` does."""
    settings = load_settings()
    configure_logging(level="warning", format="console")
    if sys.argv[1:] == ["replay"]:
        vars(replay)["work"] = timed_work
        replay.apply_replay(settings, EVERYTHING, started_from="bench", stop=Stop())
        return
    with open_worker(settings) as worker:
        with open_topic_reader(settings) as reader:
            done = drain_check(worker, reader)
        timed_work(worker, stop=Stop(), done=done)


if __name__ == "__main__":
    main()
