"""A worker that reads all that there is, as `run --drain` does, in this process."""

from __future__ import annotations

from worker.jobs.live.compose import Worker
from worker.jobs.live.drain import drain_check
from worker.jobs.live.run import Stop, work
from worker.kafka.topic_reader import open_topic_reader


def drain(worker: Worker) -> None:
    """Return once the group has committed every input partition to its end, and what was due."""
    with open_topic_reader(worker.settings) as reader:
        done = drain_check(worker, reader)
    work(worker, stop=Stop(), done=done)
