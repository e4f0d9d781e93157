"""Traces one id: from the ledger and by position first, by scanning only what they cannot tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from worker.codecs.dead_letters import timestamp_ms
from worker.codecs.letters import OriginalRecord, RecordElsewhere, original_of
from worker.codecs.outbox_reader import posted_fields
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.chain import Chain
from worker.core.errors import UsageError
from worker.core.event import Event
from worker.core.matching import carries
from worker.core.money import major_units
from worker.core.ports import Record, RecordPosition, position_of
from worker.core.wire import QueryFilter, Transfer, kind_of
from worker.jobs.progress import Progress
from worker.jobs.reconcile.stripe_side import (
    SETTLEMENT,
    id_of,
    object_of,
)
from worker.jobs.trace.found import Trace, TracedRecord, TracedTransfer
from worker.jobs.trace.judge import Judge, TranslatedRecord
from worker.jobs.trace.open_items import open_items, without_settlement
from worker.jobs.trace.search import Letter, TopicSearch, forms_of
from worker.jobs.trace.sentence import sentence
from worker.jobs.trace.target import Target, parse_target, tags
from worker.kafka.connection import require_running_broker
from worker.kafka.registry import open_decoder
from worker.kafka.topic_reader import TopicReader, open_topic_reader
from worker.ledger.books import NamedLedger, open_named_ledger
from worker.stages.decode import EventReader

RECORDS_MAX: Final = 200
"""Records of one id that a trace judges; a customer's id, say, may be in millions."""

RELATED: Final = ("balance_transaction", "source", "charge")
"""Fields of a Stripe object whose ids lead to the other side of its money."""


@dataclass(slots=True)
class Gathered:
    """What one trace has collected so far.

    records: those of input topics, by position.
    stored: transfers, by id.
    queried: the tags whose transfers were fetched.
    """

    records: dict[RecordPosition, TranslatedRecord] = field(default_factory=dict)
    stored: dict[int, Transfer] = field(default_factory=dict)
    queried: set[int] = field(default_factory=set)


@contextmanager
def open_tracing(
    settings: Settings, *, groups: Sequence[str] = (), progress: Progress
) -> Iterator[Tracing]:
    """What a trace reads: the ledger and the worker's topics.

    groups: of replays, whose positions are recognised too.

    Raises:
        UsageError: the rulebook is wrong, or the broker is an embedded one.
        DependencyUnavailable: Kafka or the ledger did not answer in time.
    """
    require_running_broker(settings)
    with (
        open_named_ledger(settings, groups=groups) as books,
        open_topic_reader(settings) as reader,
    ):
        yield tracing_of(settings, books, reader, progress=progress)


def tracing_of(
    settings: Settings, books: NamedLedger, reader: TopicReader, *, progress: Progress
) -> Tracing:
    """The same on a ledger and topics that are open already."""
    translator = translator_of(settings, books.rulebook, booked=True)
    events = EventReader(open_decoder(settings), translator, settings.topics.inputs)
    judge = Judge(books, translator, events)
    return Tracing(settings, books, judge, TopicSearch(settings, reader, progress))


class Tracing:
    """Traces ids in one ledger and its worker's topics."""

    def __init__(
        self, settings: Settings, books: NamedLedger, judge: Judge, search: TopicSearch
    ) -> None:
        self._parked = settings.topics.parked_topics
        self._topics = settings.topics
        self._books = books
        self._judge = judge
        self._search = search

    def trace(self, text: str, *, since_ms: int, scan: bool = False) -> Trace:
        """What became of an id.

        text: an event's id, a Stripe object's, a command's, a transfer's, or
            `topic/partition@offset`.
        since_ms: from when on topics are scanned for what is not in the ledger.
        scan: look through the input topics also where the ledger has an answer.

        Raises:
            UsageError: there is no record at that position.
        """
        target = parse_target(text)
        found = Gathered()
        for each in self._first(target, found):
            found.stored[each.id] = each
        ids = [target.text, *(each.event.id for each in found.records.values() if each.event)]
        self._add(found, tags(self._books.rulebook, ids))
        self._read_posters(found)
        scanned = scan or (not found.stored and not found.records)
        if scanned:
            self._scan([target.text], since_ms, list(self._search.roles), found)
        self._follow(found)
        lone = [
            each
            for each in without_settlement(found.records.values())
            if not scanned or each != target.text
        ]
        if lone:
            self._scan(lone, since_ms, self._settlement_topics(), found)
            self._follow(found)
        return self._compose(target, found, since_ms=since_ms, scanned=scanned)

    def _follow(self, found: Gathered) -> None:
        """From a payment to its settlement, and from there to the payment."""
        for _ in range(2):
            self._add(found, self._tags_of(found.records.values()))
            self._read_posters(found)

    def _settlement_topics(self) -> list[str]:
        """The input topics that may carry Stripe's settlement feed."""
        declared = self._books.rulebook.topics
        return [
            topic
            for topic, role in self._search.roles.items()
            if role not in declared or carries(declared[role], SETTLEMENT)
        ]

    def _first(self, target: Target, found: Gathered) -> list[Transfer]:
        """What the target names directly: a record, or a transfer."""
        if target.position is not None:
            return self._at(target.position, found)
        if target.transfer_id:
            return self._books.ledger.lookup_transfers([target.transfer_id])
        return []

    def _at(self, position: RecordPosition, found: Gathered) -> list[Transfer]:
        """A record of any topic of the worker's; a letter leads to its record."""
        record = self._search.at([position]).get(position)
        if record is None:
            raise UsageError(
                f"there is no record at {position}: it is gone, was never there, or is a"
                " transaction's marker"
            )
        if position.topic == self._topics.outbox:
            number = int(posted_fields(record)["transfer_id"], 16)
            return self._books.ledger.lookup_transfers([number])
        letter = self._search.letter(record) if position.topic not in self._search.roles else None
        self._read([letter.about if letter else position], found)
        return []

    def _add(self, found: Gathered, wanted: Iterable[int]) -> None:
        """The transfers of these facts."""
        known = {each.user_data_128 for each in found.stored.values()}
        for tag in {*wanted, *known} - found.queried:
            found.queried.add(tag)
            for each in self._books.ledger.query_transfers(QueryFilter(user_data_128=tag)):
                found.stored[each.id] = each

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

    def _read_posters(self, found: Gathered) -> None:
        positions = map(self._books.named_position, _positions(found.stored.values()))
        self._read((each for each in positions if each is not None), found)

    def _read(self, positions: Iterable[RecordPosition], found: Gathered) -> None:
        """The records at these positions; a parked one's is the record that waited."""
        wanted = {each for each in positions if each not in found.records}
        for record in self._search.at(wanted).values() if wanted else ():
            if record.topic() in self._parked:
                carried = original_of(record, parked=self._parked)
                if isinstance(carried, OriginalRecord | RecordElsewhere):
                    self._read([carried.at], found)
                continue
            self._take(record, found)

    def _take(self, record: Record, found: Gathered) -> None:
        role = self._search.roles.get(record.topic())
        at = position_of(record)
        if role is not None and at not in found.records and len(found.records) < RECORDS_MAX:
            found.records[at] = self._judge.read(record, role)

    def _scan(
        self, texts: Sequence[str], since_ms: int, topics: Sequence[str], found: Gathered
    ) -> None:
        for record in self._search.containing(texts, since_ms=since_ms, topics=topics):
            event = self._judge.read(record, self._search.roles[record.topic()]).event
            if event is None or any(_names(event, text) for text in texts):
                self._take(record, found)

    def _compose(
        self,
        target: Target,
        gathered: Gathered,
        *,
        since_ms: int,
        scanned: bool,
    ) -> Trace:
        translated = gathered.records
        letters = self._letters(target, translated, since_ms)
        transfers = self._named(list(gathered.stored.values()), _leg_names(translated.values()))
        posters: dict[RecordPosition, list[TracedTransfer]] = defaultdict(list)
        stray: list[TracedTransfer] = []
        for each in transfers:
            at = self._original(each.record, letters)
            (posters[at] if at is not None and at in translated else stray).append(each)
        records = [
            self._judged(each, posters, transfers, letters[at]) for at, each in translated.items()
        ]
        records.sort(key=lambda each: (each.time_ms, each.at))
        loose = [
            each for at, several in letters.items() if at not in translated for each in several
        ]
        found = Trace(
            target=target.text,
            sentence="",
            records=tuple(records),
            stray=tuple(stray),
            letters=tuple(sorted(loose, key=lambda each: each.time_ms)),
            unsettled=tuple(open_items(records, self._books)),
            not_searched=tuple(self._not_searched(translated, scanned=scanned)),
        )
        return found._replace(sentence=sentence(found, since_ms=since_ms))

    def _letters(
        self, target: Target, translated: Mapping[RecordPosition, TranslatedRecord], since_ms: int
    ) -> dict[RecordPosition, list[Letter]]:
        """The letters about these records or this id, by the record, oldest first."""
        ids = {target.text, *(each.event.id for each in translated.values() if each.event)}
        times = filter(None, (timestamp_ms(each.record) for each in translated.values()))
        found: dict[RecordPosition, list[Letter]] = defaultdict(list)
        forms = forms_of(target.text)
        for letter, record in self._search.letters(since_ms=min([since_ms, *times])):
            value = record.value() or b""
            named = letter.event_id in ids or any(form in value for form in forms)
            if letter.about in translated or named:
                found[letter.about].append(letter)
        for several in found.values():
            several.sort(key=lambda each: each.time_ms)
        return found

    def _original(
        self, position: RecordPosition | None, letters: Mapping[RecordPosition, Sequence[Letter]]
    ) -> RecordPosition | None:
        """The record behind a position: a parked event's is the record that waited."""
        if position is None:
            return None
        for about, several in letters.items():
            if any(letter.at == position for letter in several):
                return about
        return position

    def _judged(
        self,
        translated: TranslatedRecord,
        posters: Mapping[RecordPosition, Sequence[TracedTransfer]],
        transfers: Sequence[TracedTransfer],
        letters: Sequence[Letter],
    ) -> TracedRecord:
        own = posters.get(translated.at, ())
        tag = translated.answer.tag if isinstance(translated.answer, Chain) else 0
        others = [each for each in transfers if each.transfer.user_data_128 == tag]
        return self._judge.judge(
            translated,
            own=own,
            others=[each for each in others if each not in own],
            letters=letters,
            committed=self._search.committed(translated.at),
        )

    def _named(
        self, transfers: Sequence[Transfer], legs: Mapping[int, str]
    ) -> list[TracedTransfer]:
        books = self._books
        sides = {each.debit_account_id for each in transfers}
        names = books.names(sides | {each.credit_account_id for each in transfers})
        texts = {
            number: f"{ref.name}[{ref.key}]" if ref.key else ref.name
            for number, ref in names.items()
        }
        announced = self._search.announcements(transfers) if transfers else {}
        found = []
        for each in sorted(transfers, key=lambda each: each.timestamp):
            currency, scale = books.currency(each.ledger)
            found.append(
                TracedTransfer(
                    transfer=each,
                    leg=legs.get(each.id) or books.reason(each),
                    debit=texts[each.debit_account_id],
                    credit=texts[each.credit_account_id],
                    amount=major_units(each.amount, scale),
                    currency=currency,
                    kind=kind_of(each.flags),
                    record=books.named_position(each.user_data_64),
                    announced=announced.get(each.id),
                )
            )
        return found

    def _not_searched(
        self, translated: Mapping[RecordPosition, TranslatedRecord], *, scanned: bool
    ) -> Iterator[str]:
        if not scanned:
            yield (
                "the input topics were not scanned: --scan also finds records that moved no money"
            )
        if len(translated) >= RECORDS_MAX:
            yield f"only the first {RECORDS_MAX} records were judged"
        for topic in self._search.missing:
            yield f"the topic {topic} does not exist"


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


def _leg_names(translated: Iterable[TranslatedRecord]) -> dict[int, str]:
    """The legs that records ask for, by the transfer's id, as `charge.gross`."""
    return {
        leg.id: f"{each.answer.transaction}.{leg.spec.name}"
        for each in translated
        if isinstance(each.answer, Chain)
        for leg in each.answer.legs
    }
