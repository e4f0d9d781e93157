"""Traces one id: from the ledger and by position first, by scanning only what they cannot tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from worker.codecs.dead_letters import timestamp_ms
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.chain import Chain
from worker.core.iso_times import MILLISECOND
from worker.core.money import major_units
from worker.core.ports import RecordPosition
from worker.core.wire import Transfer, transfer_kind
from worker.jobs.progress import Progress
from worker.jobs.trace.found import OpenItems, Trace, TracedRecord, TracedTransfer
from worker.jobs.trace.gathering import RECORDS_MAX, Gathering
from worker.jobs.trace.judge import RecordJudge, TranslatedRecord
from worker.jobs.trace.open_items import Told, open_items, without_settlement
from worker.jobs.trace.open_now import UNSETTLED_MAX, open_now
from worker.jobs.trace.search import Letter, TopicSearch, forms_of
from worker.jobs.trace.sentence import sentence
from worker.jobs.trace.target import Target, parse_target, tags
from worker.kafka.connection import require_running_broker
from worker.kafka.registry import open_decoder
from worker.kafka.topic_reader import TopicReader, open_topic_reader
from worker.ledger.books import NamedLedger, open_named_ledger
from worker.stages.decode import EventReader


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
    judge = RecordJudge(books, translator, events)
    return Tracing(settings, books, judge, TopicSearch(settings, reader, progress))


class Tracing:
    """Traces ids in one ledger and its worker's topics."""

    def __init__(
        self, settings: Settings, books: NamedLedger, judge: RecordJudge, search: TopicSearch
    ) -> None:
        self._settings = settings
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
        found = self.gathering()
        for each in found.first(target):
            found.stored[each.id] = each
        ids = [target.text, *(each.event.id for each in found.records.values() if each.event)]
        found.add(tags(self._books.rulebook, ids))
        found.read_posters()
        scanned = scan or (not found.stored and not found.records)
        if scanned:
            found.scan([target.text], since_ms, list(self._search.roles))
        found.follow()
        lone = [
            each
            for each in without_settlement(found.records.values())
            if not scanned or each != target.text
        ]
        if lone:
            found.scan(lone, since_ms, found.settlement_topics())
            found.follow()
        return self._compose(target, found, since_ms=since_ms, scanned=scanned)

    def unsettled(self, *, since_ms: int) -> OpenItems:
        """What is open on `stripe_unsettled`, of what moved there since a time."""
        found = self.gathering(records_max=UNSETTLED_MAX)
        return open_now(found, self._books, since_ns=since_ms * MILLISECOND)

    def gathering(self, *, records_max: int = RECORDS_MAX) -> Gathering:
        """Nothing gathered yet."""
        return Gathering(
            self._settings, self._books, self._judge, self._search, records_max=records_max
        )

    def _compose(
        self,
        target: Target,
        gathered: Gathering,
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
            unsettled=tuple(open_items(_told(records), self._books)),
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
                    kind=transfer_kind(each.flags),
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


def _told(records: Iterable[TracedRecord]) -> Iterator[Told]:
    """What each record asks for, and what it posted."""
    for each in records:
        if each.chain is not None:
            yield each.chain, [traced.transfer for traced in each.transfers]


def _leg_names(translated: Iterable[TranslatedRecord]) -> dict[int, str]:
    """The legs that records ask for, by the transfer's id, as `charge.gross`."""
    return {
        leg.id: f"{each.answer.transaction}.{leg.spec.name}"
        for each in translated
        if isinstance(each.answer, Chain)
        for leg in each.answer.legs
    }
