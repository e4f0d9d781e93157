"""Gathers what belongs to an id: records by position and transfers by fact, each by the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from worker.codecs.letters import OriginalRecord, RecordElsewhere, original_of
from worker.codecs.outbox_reader import announced_fields
from worker.config.settings import Settings
from worker.core.chain import Chain
from worker.core.errors import UsageError
from worker.core.event import Event
from worker.core.matching import carries
from worker.core.ports import Record, RecordPosition, position_of
from worker.core.wire import QueryFilter, Transfer
from worker.jobs.reconcile.stripe_side import SETTLEMENT, id_of, object_of
from worker.jobs.trace.judge import RecordJudge, TranslatedRecord
from worker.jobs.trace.search import TopicSearch
from worker.jobs.trace.target import Target, tags
from worker.ledger.books import NamedLedger

RECORDS_MAX: Final = 200
"""Records of one id that a trace judges; a customer's id, say, may be in millions."""

RELATED: Final = ("balance_transaction", "source", "charge")
"""Fields of a Stripe object whose ids lead to the other side of its money."""


class Gathering:
    """What one trace has collected so far.

    records: those of input topics, by position.
    waited: by the position of a parked event, that of the record which waited.
    stored: transfers, by id.
    queried: the tags whose transfers were fetched.
    """

    def __init__(
        self,
        settings: Settings,
        books: NamedLedger,
        judge: RecordJudge,
        search: TopicSearch,
        *,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self.records: dict[RecordPosition, TranslatedRecord] = {}
        self.waited: dict[RecordPosition, RecordPosition] = {}
        self.stored: dict[int, Transfer] = {}
        self.queried: set[int] = set()
        self._settings = settings
        self._parked = settings.topics.parked_topics
        self._books = books
        self._judge = judge
        self._search = search
        self._records_max = records_max

    def follow(self) -> None:
        """From a payment to its settlement, and from there to the payment."""
        for _ in range(2):
            self.add(self._tags_of(self.records.values()))
            self.read_posters()

    def settlement_topics(self) -> list[str]:
        """The input topics that may carry Stripe's settlement feed."""
        declared = self._books.rulebook.topics
        return [
            topic
            for topic, role in self._search.roles.items()
            if role not in declared or carries(declared[role], SETTLEMENT)
        ]

    def first(self, target: Target) -> list[Transfer]:
        """What the target names directly: a record, or a transfer."""
        if target.position is not None:
            return self._at(target.position)
        if target.transfer_id:
            return self._books.ledger.lookup_transfers([target.transfer_id])
        return []

    def _at(self, position: RecordPosition) -> list[Transfer]:
        """A record of any topic of the worker's; a letter leads to its record."""
        record = self._search.at([position]).get(position)
        if record is None:
            raise UsageError(
                f"there is no record at {position}: it is gone, was never there, or is a"
                " transaction's marker"
            )
        if position.topic == self._settings.topics.outbox:
            number = int(announced_fields(record)["transfer_id"], 16)
            return self._books.ledger.lookup_transfers([number])
        letter = self._search.letter(record) if position.topic not in self._search.roles else None
        self.read([letter.about if letter else position])
        return []

    def add(self, wanted: Iterable[int]) -> None:
        """The transfers of these facts, and of those that the known transfers are of."""
        self.add_exactly([*wanted, *(each.user_data_128 for each in self.stored.values())])

    def add_exactly(self, wanted: Iterable[int]) -> None:
        """The transfers of these facts only."""
        for tag in set(wanted) - self.queried:
            self.queried.add(tag)
            for each in self._books.ledger.query_transfers(QueryFilter(user_data_128=tag)):
                self.stored[each.id] = each

    def _tags_of(self, translated: Iterable[TranslatedRecord]) -> list[int]:
        """The facts that some records tell, and those of the objects that they name."""
        found: list[int] = []
        related: list[str] = []
        for each in translated:
            if isinstance(each.answer, Chain):
                found.append(each.answer.tag)
                if each.answer.needs is not None:
                    found += each.answer.needs.tags
            if each.event is not None:
                about = object_of(each.event)
                related += filter(None, (id_of(about.get(name)) for name in RELATED))
        return found + tags(self._books.rulebook, list(dict.fromkeys(related)))

    def read_posters(self) -> None:
        """The records that posted the transfers."""
        positions = map(self._books.named_position, _positions(self.stored.values()))
        self.read(each for each in positions if each is not None)

    def read(self, positions: Iterable[RecordPosition]) -> None:
        """The records at these positions; a parked one's is the record that waited."""
        wanted = {each for each in positions if each not in self.records}
        for record in self._search.at(wanted).values() if wanted else ():
            if record.topic() in self._parked:
                carried = original_of(record, parked=self._parked)
                if isinstance(carried, OriginalRecord | RecordElsewhere):
                    self.waited[position_of(record)] = carried.at
                    self.read([carried.at])
                continue
            self._take(record)

    def _take(self, record: Record) -> None:
        role = self._search.roles.get(record.topic())
        at = position_of(record)
        if role is not None and at not in self.records and len(self.records) < self._records_max:
            self.records[at] = self._judge.read(record, role)

    def scan(self, texts: Sequence[str], since_ms: int, topics: Sequence[str]) -> None:
        """The records of these topics, from a time on, that name one of these ids."""
        for record in self._search.containing(texts, since_ms=since_ms, topics=topics):
            event = self._judge.read(record, self._search.roles[record.topic()]).event
            if event is None or any(_names(event, text) for text in texts):
                self._take(record)


def _names(event: Event, text: str) -> bool:
    """Does an event have this text as its id, or as any value of its body?"""
    if event.id == text:
        return True
    waiting: list[Any] = [event.body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif value == text:
            return True
    return False


def _positions(transfers: Iterable[Transfer]) -> list[int]:
    return list(dict.fromkeys(each.user_data_64 for each in transfers))
