"""Announcements of posted transfers, written again from the ledger in its order, for a new copy.

Amounts, times and accounts come from the ledger, the event from the record at the transfer's
position. Records and progress are one Kafka transaction, so that an interrupted job resumes. What
cannot be announced is listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

from worker.codecs.outbox import OutboxEncoder
from worker.codecs.parked import role_of
from worker.codecs.record_decoder import RecordDecoder
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.chain import Chain
from worker.core.event import Event
from worker.core.ids import hex_id
from worker.core.ports import Announcement, Commit, Ledger, Record, RecordPosition, newest_timestamp
from worker.core.wire import Transfer
from worker.jobs.batched import batched
from worker.jobs.live.encoders import outbox_encoder
from worker.jobs.progress import Progress
from worker.kafka.job_transactions import open_job_transactions
from worker.kafka.registry import decoder_of, open_registry, schema_ids
from worker.kafka.topic_reader import open_topic_reader
from worker.ledger.books import NamedLedger, open_named_ledger
from worker.ledger.scan import all_transfers
from worker.rulebooks.load import load
from worker.stages.post.readback import PostedLegs
from worker.stages.post.variants import variants

REBUILT_HEADER: Final = "ledger_worker.rebuilt"
PORTION: Final = 500
"""Chains between two transactions."""


class Unannounced(NamedTuple):
    """A transfer that could not be announced, and why."""

    transfer_id: str
    timestamp: int
    why: str


@dataclass(slots=True)
class Reannounced:
    """What was announced again.

    since: ledger timestamp, nanoseconds, that an interrupted run had reached; 0 at a start.
    """

    group: str
    outbox: str
    since: int = 0
    transfers: int = 0
    unannounced: list[Unannounced] = field(default_factory=list)


def announce_again(  # noqa: PLR0913 - a range, where to, and what tests bring along
    settings: Settings,
    *,
    outbox: str,
    start_ns: int,
    end_ns: int,
    progress: Progress,
    ledger: Ledger | None = None,
    embedded_broker: bool = False,
) -> Reannounced:
    """Announce the ledger's transfers of a range of its own time; end_ns 0: to the newest now.

    ledger: one that is open already. embedded_broker: see `open_worker`.

    Raises:
        UsageError: a setting is wrong, or there is no ledger to read.
        DependencyUnavailable: the ledger or the broker does not go on; again goes on from there.
    """
    with ExitStack() as stack:
        if ledger is None:
            books = stack.enter_context(open_named_ledger(settings))
        else:
            books = NamedLedger(ledger, load(settings.rulebook), settings)
        text = f"{outbox}\0{start_ns}\0{end_ns}".encode()
        group = f"{settings.kafka.group_id}-announce-{blake2b(text, digest_size=4).hexdigest()}"
        writing = _OutboxWriter(settings, group, outbox, stack, embedded_broker=embedded_broker)
        result = Reannounced(group, outbox, since=writing.since())
        reannouncer = Reannouncer(settings, books, outbox, stack)
        cut = end_ns or newest_timestamp(books.ledger) + 1
        low = max(start_ns, result.since + 1 if result.since else 0)
        transfers = all_transfers(books.ledger, start_ns=low, end_ns=cut)
        chains = chains_of(progress.over(transfers, "transfers"))
        for portion in batched(chains, PORTION):
            announcements, unannounced = reannouncer.announce(portion)
            writing.write(announcements, portion[-1][-1].timestamp)
            result.transfers += len(announcements)
            result.unannounced += unannounced
        return result


def chains_of(transfers: Iterable[Transfer]) -> Iterator[list[Transfer]]:
    """Transfers in ledger order as whole chains; one that belongs to none is alone."""
    chain: list[Transfer] = []
    for transfer in transfers:
        number, count = transfer.user_data_32 >> 16, transfer.user_data_32 & 0xFFFF
        if chain and (number != len(chain) or transfer.user_data_128 != chain[0].user_data_128):
            yield chain
            chain = []
        chain.append(transfer)
        if number >= count - 1:
            yield chain
            chain = []
    if chain:
        yield chain


class _OutboxWriter:
    """Writes announcements and how far they are, in one transaction."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        outbox: str,
        stack: ExitStack,
        *,
        embedded_broker: bool,
    ) -> None:
        self._partition = (outbox, 0)
        self._transactions = stack.enter_context(
            open_job_transactions(settings, group, embedded_broker=embedded_broker)
        )

    def since(self) -> int:
        """The ledger timestamp up to which everything was written; 0 before the first."""
        text = self._transactions.offsets.metadata(self._partition)
        try:
            return int(json.loads(text)["announced"]) if text else 0
        except (ValueError, KeyError, TypeError):
            return 0

    def write(self, announcements: Sequence[Announcement], timestamp: int) -> None:
        """One transaction; the offset means nothing, the metadata is what counts."""
        commit = Commit(*self._partition, 0, json.dumps({"announced": timestamp}))
        self._transactions.write(announcements, [commit])


class Reannouncer:
    """Finds the event of each chain and encodes its legs."""

    def __init__(
        self, settings: Settings, books: NamedLedger, outbox: str, stack: ExitStack
    ) -> None:
        registry = open_registry(settings)
        schemas = schema_ids(settings, registry)
        self._books = books
        self._rules = translator_of(settings, books.rulebook, booked=True)
        self._posted_legs = PostedLegs(books.ledger, self._rules)
        self._records = RecordDecoder(
            decoder_of(settings, registry), books.rulebook.topics, settings.topics.inputs
        )
        self._roles = settings.topics.roles
        self._topics = stack.enter_context(open_topic_reader(settings))
        self._encoder: OutboxEncoder = outbox_encoder(
            settings, books.rulebook.digest, schemas, topic=outbox
        )

    def announce(
        self, chains: Sequence[Sequence[Transfer]]
    ) -> tuple[list[Announcement], list[Unannounced]]:
        """The announcements in order, and what could not be announced."""
        positions = [self._books.named_position(chain[0].user_data_64) for chain in chains]
        found = self._topics.at(position for position in positions if position is not None)
        announcements: list[Announcement] = []
        unannounced: list[Unannounced] = []
        for chain, position in zip(chains, positions, strict=True):
            if position is None:
                answer: list[Announcement] | str = _FOREIGN
            else:
                answer = self._chain_announcements(chain, position, found)
            if isinstance(answer, str):
                unannounced += [
                    Unannounced(hex_id(transfer.id), transfer.timestamp, answer)
                    for transfer in chain
                ]
            else:
                announcements += answer
        return announcements, unannounced

    def _chain_announcements(
        self,
        chain: Sequence[Transfer],
        position: RecordPosition,
        found: Mapping[RecordPosition, Record],
    ) -> list[Announcement] | str:
        record = found.get(position)
        if record is None:
            return f"its record {position} is not in the topic any more"
        role = self._roles.get(position.topic) or role_of(record)
        event = self._records.read(record, role)
        if not isinstance(event, Event):
            return f"its record {position} holds no event"
        made = self._chain(event, role, chain)
        if made is None:
            return f"the rulebook makes another fact of its record {position}"
        legs = self._posted_legs.legs(made, chain)
        written = self._encoder.encode(made, made.attempt, legs, record)
        return [
            announcement._replace(headers=[*announcement.headers, (REBUILT_HEADER, b"1")])
            for announcement in written
        ]

    def _chain(self, event: Event, role: str, stored: Sequence[Transfer]) -> Chain | None:
        """The event's chain as it was posted: at its attempt, perhaps to suspense.

        Legs that the rulebook in force has no more are named by their number.
        """
        first = None
        ids = {transfer.id for transfer in stored}
        for made in variants(self._rules, event, role=role):
            if made.tag != stored[0].user_data_128:
                return first
            if any(leg.id in ids for leg in made.legs):
                return made
            first = first or made
        return first


_FOREIGN: Final = (
    "its position is of another group or topic: name the group with kafka.group_id, or another"
    " program posted it"
)
