"""The outbox joined with the events that it announces, in the order of the lost ledger.

Nothing is passed on before every chain has all its legs and its event. A transfer that was
announced twice counts with its latest ledger timestamp.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final, NamedTuple

from worker.codecs.letters import rejection
from worker.codecs.outbox_reader import announced_fields, whole_number
from worker.core.errors import UsageError
from worker.core.event import Event
from worker.core.ids import hex_id
from worker.core.ports import Record, position_of
from worker.core.wire import AMOUNT_MAX, Transfer
from worker.jobs.archive.records import has_position
from worker.jobs.duckdb_rows import Database, RowBuffer, columns_sql, open_database
from worker.jobs.rebuild.tables import (
    EVENTLESS,
    LEAVE_OUT_STORED,
    OTHERWISE,
    PREPARE,
    STRANGERS,
    TABLES,
    TORN,
)

PAGE_ROWS: Final = 20_000
"""Legs that are read together; more than the longest chain has."""


class AnnouncedLeg(NamedTuple):
    """One transfer as it was announced; 128-bit numbers are hex, as the outbox has them.

    unsettled: a reservation that no later transfer posts or voids.
    """

    start_ns: int
    transfer_id: str
    event_id: str
    attempt: int
    leg: int
    legs: int
    debit: str
    credit: str
    debit_name: str
    debit_key: str
    credit_name: str
    credit_key: str
    pending_id: str
    amount: str
    ledger: int
    code: int
    flags: int
    kind: str
    posted_ns: int
    unsettled: bool


class CandidateRecord(NamedTuple):
    """A record that may have been posted.

    offset: -1 where its archive does not say.
    """

    topic: str
    partition: int
    offset: int
    value: bytes


class AnnouncedChain(NamedTuple):
    """One chain as it was announced, and the records that may have been it."""

    legs: list[AnnouncedLeg]
    sources: list[CandidateRecord]


class RefusedAttempt(NamedTuple):
    """A record whose event the ledger refused, up to this attempt."""

    attempt: int
    source: CandidateRecord


class AnnouncedLegs:
    """Takes records and transfers, then gives the chains in order; made by `open_announced`."""

    def __init__(self, database: Database, values: BinaryIO) -> None:
        self.database = database
        self._values = values
        self._end = 0
        for name, columns in TABLES.items():
            database.execute(f"CREATE TABLE {name} ({columns_sql(columns)})")
        self._stages = {
            name: RowBuffer(database, name, columns) for name, columns in TABLES.items()
        }

    @property
    def announcements(self) -> int:
        """How many have come."""
        return self._stages["announced"].taken

    # Taking

    def announcement(self, record: Record) -> None:
        """One record of the outbox.

        Raises:
            UsageError: it is none.
        """
        fields = announced_fields(record)
        try:
            self._stages["announced"].add(_row(fields))
        except (KeyError, TypeError, ValueError):
            raise UsageError(f"{position_of(record)} is no posted transfer") from None

    def event(self, record: Record, event: Event, value: bytes) -> None:
        """One record of an input topic, decoded. value: the event without its envelope."""
        self._values.write(value)
        stage = self._stages["source"]
        stage.add(
            (
                stage.taken,
                event.id,
                record.topic(),
                record.partition(),
                record.offset() if has_position(record) else -1,
                blake2b(value, digest_size=16).hexdigest(),
                self._end,
                len(value),
            )
        )
        self._end += len(value)

    def refusal(self, record: Record) -> None:
        """One record of the rejected topic."""
        refused = rejection(record)
        if refused is not None:
            self._stages["refused"].add((refused.event_id, refused.attempt, str(refused.at)))

    def stored(self, transfer: Transfer) -> None:
        """One transfer that the ledger has already."""
        self._stages["stored"].add(
            (
                hex_id(transfer.id),
                hex_id(transfer.debit_account_id),
                hex_id(transfer.credit_account_id),
                hex_id(transfer.pending_id) if transfer.pending_id else "",
                str(transfer.amount),
                transfer.ledger,
                transfer.code,
                transfer.flags,
            )
        )

    # Giving

    def join(self) -> int:
        """Everything was taken: join it; how many chains the ledger has already.

        Raises:
            UsageError: a chain is not whole, an event is not there, or the ledger holds something
                else.
        """
        for stage in self._stages.values():
            stage.flush()
        self._values.flush()
        self.database.execute(PREPARE)
        self._refuse(TORN, "chains are not whole in the outbox, of the event {} for one")
        self._refuse(
            EVENTLESS, "events that the outbox tells of are not in the input topics, {} for one"
        )
        self._refuse(
            STRANGERS,
            "transfers are in the ledger that the outbox does not tell, {} for one" + _NEW,
        )
        self._refuse(
            OTHERWISE,
            "transfers are in the ledger otherwise than the outbox tells, {} for one" + _NEW,
        )
        chains = self._count()
        self.database.execute(LEAVE_OUT_STORED)
        return chains - self._count()

    def _count(self) -> int:
        (count,) = self.database.execute("SELECT count(DISTINCT start_ns) FROM leg").fetchall()[0]
        return int(count)

    def _refuse(self, query: str, sentence: str) -> None:
        count, example = self.database.execute(query).fetchall()[0]
        if count:
            raise UsageError(f"{count:,} {sentence.format(example)}")

    def legs_left(self) -> int:
        """How many transfers are to be posted."""
        (count,) = self.database.execute("SELECT count(*) FROM leg").fetchall()[0]
        return int(count)

    def steps(self, *, unsettled: bool = False) -> Iterator[AnnouncedChain]:
        """The chains in the ledger's order; unsettled: only reservations that stayed open."""
        after = -1
        chosen = "AND unsettled" if unsettled else ""
        while True:
            rows = self.database.execute(
                f"SELECT * FROM leg WHERE start_ns > $after {chosen}"  # noqa: S608 - ours
                f" ORDER BY start_ns, leg LIMIT {PAGE_ROWS}",
                {"after": after},
            ).fetchall()
            chains: dict[int, list[AnnouncedLeg]] = defaultdict(list)
            for row in rows:
                chains[row[0]].append(AnnouncedLeg(*row))
            if len(rows) == PAGE_ROWS:
                chains.popitem()  # it may be cut
            if not chains:
                return
            after = max(chains)
            sources = self._sources(min(chains), after)
            for start_ns, legs in chains.items():
                yield AnnouncedChain(legs, sources[start_ns])

    def _sources(self, low: int, high: int) -> dict[int, list[CandidateRecord]]:
        found: dict[int, list[CandidateRecord]] = defaultdict(list)
        query = (
            "SELECT start_ns, topic, part, record_offset, value_at, size FROM source_of"
            " WHERE start_ns BETWEEN $low AND $high ORDER BY start_ns, number"
        )
        for start_ns, *about in self.database.execute(query, {"low": low, "high": high}).fetchall():
            found[start_ns].append(self._source(*about))
        return found

    def _source(self, topic: str, part: int, off: int, at: int, size: int) -> CandidateRecord:
        self._values.seek(at)
        return CandidateRecord(topic, part, off, self._values.read(size))

    def refusals(self) -> Iterator[RefusedAttempt]:
        """The records that the ledger refused."""
        cursor = self.database.cursor().execute(
            "SELECT attempt, topic, part, record_offset, value_at, size FROM refusal"
        )
        while rows := cursor.fetchmany(PAGE_ROWS):
            for attempt, *about in rows:
                yield RefusedAttempt(attempt, self._source(*about))


def _row(fields: Mapping[str, Any]) -> tuple[object, ...]:
    """An announcement as the table has it.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, of another type, or out of its range.
    """
    ids = [fields[name] for name in ("transfer_id", "debit_account_id", "credit_account_id")]
    pending_id = fields["pending_id"]
    if not all(map(HEX_ID.fullmatch, (*ids, pending_id or ids[0]))):
        raise ValueError("an id is not 32 hex digits")
    names = ("debit_account", "debit_key", "credit_account", "credit_key")
    texts = [fields[name] for name in ("event_id", *names, "kind")]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a name is no text")
    event_id, *accounts, kind = texts
    numbers = ("attempt", "leg_number", "leg_count")
    attempt, leg, legs = (whole_number(fields[name], NUMBER_MAX) for name in numbers)
    return (
        ids[0],
        event_id,
        attempt,
        leg,
        legs,
        *ids[1:],
        *accounts,
        pending_id,
        str(whole_number(fields["amount"], AMOUNT_MAX)),
        *(whole_number(fields[name], NUMBER_MAX) for name in ("ledger", "code", "flags")),
        kind,
        whole_number(fields["ledger_timestamp"], TIMESTAMP_MAX),
    )


HEX_ID: Final = re.compile(r"[0-9a-f]{32}")
NUMBER_MAX: Final = (1 << 31) - 1
TIMESTAMP_MAX: Final = (1 << 63) - 1

_NEW: Final = ": a ledger is rebuilt in an empty one, or goes on where its own rebuilding stood"


@contextmanager
def open_announced() -> Iterator[AnnouncedLegs]:
    """Nothing taken yet; what it keeps on disk is gone afterwards."""
    with (
        open_database() as database,
        TemporaryDirectory(prefix="ledger-worker-values-") as folder,
        (Path(folder) / "values").open("w+b") as values,
    ):
        yield AnnouncedLegs(database, values)
