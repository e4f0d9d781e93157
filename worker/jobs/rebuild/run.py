"""Rebuilds a lost ledger from the outbox and its events; nothing is announced.

Before the first post everything was read and found whole, and the ledger was empty or held a part
of the same. Interrupted, the same command resumes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.codecs.record_decoder import RecordDecoder
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.errors import UsageError
from worker.core.event import Event
from worker.core.ports import Ledger, Record, newest_timestamp
from worker.jobs.archive.files import read_archives
from worker.jobs.progress import Progress
from worker.jobs.rebuild.announced import AnnouncedChain, AnnouncedLegs, open_announced
from worker.jobs.rebuild.repost import Reposter
from worker.kafka.connection import require_running_broker
from worker.kafka.registry import open_decoder
from worker.kafka.topic_reader import count_offsets, open_topic_reader
from worker.ledger.open import opened_ledger
from worker.ledger.scan import all_transfers
from worker.rulebooks.load import load

NAMED_MAX: Final = 50
"""Records of the outbox that a message names."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The result of a rebuild.

    found: chains that the ledger had already.
    expired: reservations that had expired, posted last.
    unfit: events of those that the balance does not cover any more.
    spent: ids that the lost ledger had refused.
    last_expiry_ns: when the last open reservation expires; 0 where none does.
    forgotten: rejections that their topic no longer has.
    unreadable: where the outbox has records that are no announcements, which were left out.
    """

    chains: int
    transfers: int
    found: int
    expired: int
    unfit: Sequence[str]
    spent: int
    last_expiry_ns: int
    forgotten: int
    unreadable: Sequence[str]


def rebuild(  # noqa: PLR0913 - where from, where to, and what tests bring along
    settings: Settings,
    *,
    progress: Progress,
    skip_unreadable: bool = False,
    files: Sequence[Path] = (),
    topic: str = "",
    ledger: Ledger | None = None,
) -> Rebuilt:
    """Post the outbox's transfers again in the configured ledger.

    skip_unreadable: leave out what is no announcement; else it is named, and nothing is posted.
    files: archives instead of Kafka; topic: of events in them that name none. ledger: one that is
    open already.

    Raises:
        UsageError: topics, rulebook and ledger do not go together; the sentence says in what.
        DependencyUnavailable: the broker or the ledger did not answer in time.
    """
    if ledger is None and settings.ledger.in_memory:
        raise UsageError("an in-memory ledger ends with this process: name the one to rebuild")
    rulebook = load(settings.rulebook)
    with ExitStack() as stack:
        if ledger is None:
            # An embedded one may be a file that is not there yet.
            ledger = stack.enter_context(opened_ledger(settings.ledger))
        newest_timestamp(ledger)  # a ledger that is down is said before anything is read
        announced = stack.enter_context(open_announced())
        decoder = RecordDecoder(open_decoder(settings), rulebook.topics, settings.topics.inputs)
        sources = _Sources(settings, announced, decoder)
        if files:
            sources.files(files, topic, progress)
        else:
            sources.topics(progress)
        sources.require_readable(skip=skip_unreadable)
        for transfer in progress.over(all_transfers(ledger), "transfers there"):
            announced.stored(transfer)
        found = announced.join()
        reposter = Reposter(
            ledger=ledger,
            rules=translator_of(settings, rulebook, booked=True),
            records=decoder,
            roles=sources.roles,
            group=settings.kafka.group_id,
            now_ns=time.time_ns(),
        )
        total = announced.legs_left()
        reposter.post(progress.over(announced.steps(), "transfers", total=total, size=_legs))
        reposter.post(announced.steps(unsettled=True), late=True)
        reposter.spend(progress.over(announced.refusals(), "refusals"))
        return Rebuilt(
            chains=reposter.chains,
            transfers=reposter.transfers,
            found=found,
            expired=reposter.expired,
            unfit=reposter.unfit,
            spent=reposter.spent,
            last_expiry_ns=reposter.last_expiry_ns,
            forgotten=sources.forgotten,
            unreadable=sources.unreadable,
        )


def _legs(step: AnnouncedChain) -> int:
    return len(step.legs)


class _Sources:
    """Reads outbox, inputs and rejections.

    forgotten: rejections that are gone.
    unreadable: where the outbox has records that are no announcements, and why.
    """

    def __init__(
        self, settings: Settings, announced: AnnouncedLegs, decoder: RecordDecoder
    ) -> None:
        self.roles = settings.topics.roles
        self.forgotten = 0
        self.unreadable: list[str] = []
        self._settings = settings
        self._announced = announced
        self._decoder = decoder

    def files(self, paths: Sequence[Path], topic: str, progress: Progress) -> None:
        """Everything out of archives."""
        self._take(progress.over(read_archives(paths, topic=topic), "records"))
        self._require_outbox()

    def topics(self, progress: Progress) -> None:
        """Everything out of Kafka; outbox and inputs from their first record."""
        settings = self._settings
        require_running_broker(settings)
        with open_topic_reader(settings) as topics:
            for names in ([settings.topics.outbox], list(self.roles)):
                ranges = topics.ranges(names, start_ms=0)
                total = count_offsets(ranges)
                self._take(progress.over(topics.read(ranges), names[0], total=total))
                self._require_outbox()
            refused = topics.whole([settings.topics.rejected])
            self.forgotten = sum(offsets.start for offsets in refused.values())
            self._take(topics.read(refused))

    def _take(self, records: Iterable[Record]) -> None:
        outbox, rejected = self._settings.topics.outbox, self._settings.topics.rejected
        for record in records:
            topic = record.topic()
            if topic == outbox:
                try:
                    self._announced.announcement(record)
                except UsageError as problem:
                    self.unreadable.append(str(problem))
            elif topic in self.roles:
                role = self.roles[topic]
                event = self._decoder.read(record, role)
                if isinstance(event, Event):
                    plain = self._decoder.plain_value(event, record, role)
                    self._announced.event(record, event, plain)
            elif topic == rejected:
                self._announced.refusal(record)

    def require_readable(self, *, skip: bool) -> None:
        """Stop where the outbox holds something else, unless a person said to go on without.

        Raises:
            UsageError: naming each record, up to `NAMED_MAX`.
        """
        if not self.unreadable or skip:
            return
        named = self.unreadable[:NAMED_MAX]
        more = len(self.unreadable) - len(named)
        if more:
            named.append(f"and {more:,} more")
        what = "the outbox holds records that are no announcements: look at each, and give"
        raise UsageError("\n".join((f"{what} --skip-unreadable to go on without them", *named)))

    def _require_outbox(self) -> None:
        if not self._announced.announcements:
            raise UsageError(
                f"there is nothing to rebuild from: no record is of {self._settings.topics.outbox}"
            )
