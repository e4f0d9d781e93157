"""A job's records and its offsets in one Kafka transaction, retried after an abort.

An interrupted job resumes from its own group's offsets, so nothing is written twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final

from worker.config.settings import Settings
from worker.core.errors import Aborted, DependencyUnavailable, Unsettled
from worker.core.ports import Announcement, Commit
from worker.kafka.job_offsets import JobOffsets, open_job_offsets
from worker.kafka.producer import TransactionalProducer

TRIES_MAX: Final = 5

_RUN_AGAIN: Final = (
    "another process may be doing the same, or the broker was away; the same command goes on where"
    " this one stopped"
)


class JobTransactions:
    """Writes under a job's own group; made by `open_job_transactions`.

    offsets: the group's.
    """

    def __init__(
        self, offsets: JobOffsets, *, transactional_id: str = "", embedded_broker: bool = False
    ) -> None:
        self.offsets = offsets
        self._producer = TransactionalProducer(
            offsets.connection,
            transactional_id=transactional_id or offsets.group,
            yields=True,
            after_commit=offsets.commit if embedded_broker else lambda _: None,
        )

    def write(self, records: Sequence[Announcement], commits: Sequence[Commit]) -> None:
        """One transaction.

        Raises:
            DependencyUnavailable: Kafka does not say what became of it, or aborts it every time.
        """
        for _ in range(TRIES_MAX):
            try:
                self._producer.announce(records, commits, self.offsets.membership())
            except Aborted:
                continue
            except Unsettled as unsettled:
                raise DependencyUnavailable(f"{unsettled}: {_RUN_AGAIN}") from None
            return
        raise DependencyUnavailable(
            f"Kafka aborted the transaction {TRIES_MAX} times: {_RUN_AGAIN}"
        )

    def close(self) -> None:
        """Release the connection."""
        self._producer.close()


@contextmanager
def open_job_transactions(
    settings: Settings, group: str, *, transactional_id: str = "", embedded_broker: bool = False
) -> Iterator[JobTransactions]:
    """A job's transactions in the cluster that the settings name, closed at the end.

    It ends what another process with the same transactional id has open.
    transactional_id: the group's name if empty.
    embedded_broker: it forgets offsets that come in a transaction; they come again after.
    """
    with (
        open_job_offsets(settings, group) as offsets,
        closing(
            JobTransactions(
                offsets, transactional_id=transactional_id, embedded_broker=embedded_broker
            )
        ) as transactions,
    ):
        yield transactions
