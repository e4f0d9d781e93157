"""Records and transfers become rows: what was asked, held, announced, refused and given up.

The invariant: every record that is taken leaves a row or is of no topic of ours; the rulebook that
the worker runs is the one that says what is expected. Writes to the joining database only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson

from worker.archive.records import is_placed
from worker.codecs.avro import MAGIC, body_reader, packaged_schema
from worker.codecs.dead_letters import CONNECT, REASON_HEADER
from worker.codecs.decode import Decoder
from worker.config import Settings
from worker.core.chain import BALANCING, Chain, Leg, kind_of
from worker.core.event import Dead, Event
from worker.core.ids import account_id, hex_id
from worker.core.rulebook import Rulebook
from worker.core.translate import Translator
from worker.core.wire import AMOUNT_MAX, Transfer
from worker.joining.database import Database, Stage, columns_sql
from worker.ports import Record, UsageError
from worker.reading import EventReader
from worker.reads.books import Books
from worker.reconcile.tables import TABLES

TIME_SHIFT: Final = 80
"""A transfer's id has the fact's milliseconds above its 80 bits of hash."""

CLEARING: Final = "stripe_clearing"
SETTLEMENT: Final = "balance_transaction.created"
FEE_TYPES: Final = frozenset({"income", "expense"})
MOVING: Final = frozenset({"posted", "post"})
ORIGIN: Final = (f"{CONNECT}.topic", f"{CONNECT}.partition", f"{CONNECT}.offset")


class Span(NamedTuple):
    """The facts that are looked at, by their time in milliseconds; end 0 is open."""

    start_ms: int
    end_ms: int

    def holds(self, time_ms: int) -> bool:
        """Does a fact of this time belong to the range?"""
        return time_ms >= self.start_ms and (not self.end_ms or time_ms < self.end_ms)


Committed = Callable[[str, int, int], bool]
"""Takes a topic, partition and offset: has the live group committed that record?"""


@dataclass(slots=True)
class Staging:
    """The tables being filled.

    committed: says whether the live group has a record behind it. clearing_ids: Stripe's clearing
    account in every currency. taken: records by topic. clearing: by ledger, what moved on that
    account within the range and after it.
    """

    settings: Settings
    rulebook: Rulebook
    span: Span
    stages: dict[str, Stage]
    committed: Committed
    reader: EventReader
    translator: Translator
    clearing_ids: frozenset[int]
    taken: dict[str, int] = field(default_factory=dict)
    clearing: dict[int, list[int]] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """One record of any of our topics; records of others are counted only."""
        topic = record.topic()
        self.taken[topic] = self.taken.get(topic, 0) + 1
        topics = self.settings.topics
        roles = {name: role for role, name in topics.inputs.items()}
        if topic in roles:
            self._event(record, roles[topic])
        elif topic == topics.outbox:
            self._announcement(record)
        elif topic == topics.rejected:
            self._rejection(record)
        elif topic == topics.dead:
            self._letter("dead", record)
        elif topic.startswith(f"{topics.parked}."):
            self._letter("parked", record)

    def flush(self) -> None:
        """Everything that was taken is in its table."""
        for stage in self.stages.values():
            stage.flush()

    # Events

    def _event(self, record: Record, role: str) -> None:
        (found,) = self.reader.decode([record])
        asked, attempts = self.reader.translate(found, record, role=role)
        if isinstance(found, Event) and found.type == SETTLEMENT:
            self._settled(found)
        row: dict[str, Any] = dict.fromkeys(TABLES["events"], "") | {
            "origin": origin_of(record),
            "event_id": found.id if isinstance(found, Event) else "",
            "event_type": found.type if isinstance(found, Event) else "",
            "object_id": _object_id(found),
            "time_ms": record.timestamp()[1],
            "in_transit": is_placed(record)
            and not self.committed(record.topic(), record.partition(), record.offset()),
        }
        if isinstance(asked, Chain):
            row |= self._chain(asked, attempts, role)
        elif isinstance(asked, Dead):
            row |= {"outcome": "dead", "reason": asked.reason.value}
        else:
            row["outcome"] = asked.outcome
        if self.span.holds(int(row["time_ms"])):
            self.stages["events"].add(row.values())

    def _chain(self, chain: Chain, attempts: int, role: str) -> dict[str, Any]:
        time_ms = chain.legs[0].id >> TIME_SHIFT
        variant = blake2b(repr(_money(chain)).encode(), digest_size=8).hexdigest()
        if self.span.holds(time_ms):
            self._legs(chain, variant)
            for attempt in range(1, attempts + 1):
                again = self.translator.translate(chain.event, role=role, attempt=attempt)
                if isinstance(again, Chain):
                    self._legs(again, variant)
        return {
            "outcome": "chain",
            "transaction_name": chain.transaction,
            "tag": hex_id(chain.tag),
            "variant": variant,
            "time_ms": time_ms,
        }

    def _legs(self, chain: Chain, variant: str) -> None:
        tag, count = hex_id(chain.tag), len(chain.legs)
        for number, leg in enumerate(chain.legs):
            self.stages["expected"].add(
                (
                    tag,
                    variant,
                    chain.attempt,
                    number,
                    count,
                    f"{chain.transaction}.{leg.spec.name}",
                    hex_id(leg.id),
                    hex_id(leg.debit.id) if leg.debit else "",
                    hex_id(leg.credit.id) if leg.credit else "",
                    _name(leg.debit),
                    _name(leg.credit),
                    leg.currency.ledger,
                    0 if leg.amount == AMOUNT_MAX else leg.amount,
                    _amount_rule(leg),
                    " ".join(map(hex_id, leg.pending_ids)),
                    self._is_fee(chain.event, leg),
                    _clearing_sign(leg),
                )
            )

    def _is_fee(self, event: Event, leg: Leg) -> bool:
        """What Stripe or the platform charges: told by the settlement feed, or income, or cost."""
        accounts = self.rulebook.accounts
        names = [one.name for one in (leg.debit, leg.credit) if one is not None]
        return event.type == SETTLEMENT or any(accounts[one].type in FEE_TYPES for one in names)

    def _settled(self, event: Event) -> None:
        about = event.body["data"]["object"]
        numbers = [about.get("amount"), about.get("fee"), about.get("net")]
        if all(type(one) is int for one in numbers):
            texts = [about.get(name) or "" for name in ("id", "source", "reporting_category")]
            currency = about.get("currency") or ""
            if all(isinstance(one, str) for one in (*texts, currency)):
                self.stages["settled"].add((*texts, currency, *numbers))

    # Announcements

    def _announcement(self, record: Record) -> None:
        told = posted_fields(record)
        if self.span.holds(int(told["transfer_id"], 16) >> TIME_SHIFT):
            names = ("transfer_id", "event_id", "debit_account_id", "credit_account_id")
            self.stages["announced"].add(
                (
                    *(told[name] for name in names),
                    told["ledger"],
                    int(told["amount"]),
                    int(told["ledger_timestamp"]),
                    place_of(record),
                )
            )

    def _rejection(self, record: Record) -> None:
        told = _json(record)
        self.stages["rejected"].add((told["event_id"], told["reason"], place_of(record)))

    def _letter(self, table: str, record: Record) -> None:
        headers = {name: (value or b"").decode() for name, value in record.headers() or ()}
        if any(name not in headers for name in ORIGIN):
            raise UsageError(f"{place_of(record)} is no {table} letter: it has no original place")
        topic, partition, offset = (headers[name] for name in ORIGIN)
        reason, place = headers.get(REASON_HEADER, ""), place_of(record)
        self.stages[table].add((f"{topic}/{partition}@{offset}", reason, place))
        self.stages[table].add((_hash(record), reason, place))

    # The ledger

    def hold(self, books: Books, transfer: Transfer) -> None:
        """One transfer of the ledger."""
        place = books.place(transfer.user_data_64)
        self._clear(transfer)
        self.stages["actual"].add(
            (
                hex_id(transfer.id),
                hex_id(transfer.user_data_128),
                transfer.user_data_32 >> 16,
                transfer.user_data_32 & 0xFFFF,
                hex_id(transfer.debit_account_id),
                hex_id(transfer.credit_account_id),
                transfer.ledger,
                transfer.amount,
                hex_id(transfer.pending_id) if transfer.pending_id else "",
                kind_of(transfer.flags),
                place.text if place else "",
                transfer.timestamp,
                self.span.holds(transfer.id >> TIME_SHIFT),
                place is not None and not self.committed(*place),
            )
        )

    def _clear(self, transfer: Transfer) -> None:
        """Sum what moved on Stripe's clearing account: within the range, and after it."""
        sign = (transfer.debit_account_id in self.clearing_ids) - (
            transfer.credit_account_id in self.clearing_ids
        )
        time_ms = transfer.id >> TIME_SHIFT
        if not sign or time_ms < self.span.start_ms or kind_of(transfer.flags) not in MOVING:
            return
        sums = self.clearing.setdefault(transfer.ledger, [0, 0])
        sums[not self.span.holds(time_ms)] += sign * transfer.amount


def open_staging(
    database: Database, settings: Settings, rulebook: Rulebook, *, span: Span, committed: Committed
) -> Staging:
    """Empty tables, and what fills them."""
    for name, columns in TABLES.items():
        database.execute(f"CREATE TABLE {name} ({columns_sql(columns)})")
    stages = {name: Stage(database, name, columns) for name, columns in TABLES.items()}
    for currency in rulebook.ledgers.values():
        stages["currencies"].add((currency.ledger, currency.name, currency.scale))
    translator = Translator(rulebook, **_guards(settings))
    decoder = Decoder(settings.schema_registry.ids)
    reader = EventReader(decoder, translator)
    clearing = frozenset(
        account_id(ledger=currency.ledger, name=CLEARING, key="")
        for currency in rulebook.ledgers.values()
    )
    return Staging(settings, rulebook, span, stages, committed, reader, translator, clearing)


def _guards(settings: Settings) -> dict[str, Any]:
    """Whose money enters the books, as the worker has it."""
    modes = {"any": None, "true": True, "false": False}
    return {"livemode": modes[settings.events.livemode], "account": settings.events.account}


def place_of(record: Record) -> str:
    """Where a record is, as reports write it."""
    return f"{record.topic()}/{record.partition()}@{record.offset()}"


def origin_of(record: Record) -> str:
    """What a dead letter names a record by: its place, or its bytes where that is unknown."""
    return place_of(record) if is_placed(record) else _hash(record)


def _hash(record: Record) -> str:
    return "value:" + blake2b(record.value() or b"", digest_size=16).hexdigest()


def posted_fields(record: Record) -> Mapping[str, Any]:
    """An outbox record's fields, JSON or Avro.

    Raises:
        UsageError: it is none.
    """
    value = record.value() or b""
    if value[:1] == bytes([MAGIC]):
        try:
            found: Mapping[str, Any] = body_reader(packaged_schema("posted_transfer"))(value)
        except ValueError:
            raise UsageError(f"{place_of(record)} is no posted transfer") from None
        return found
    found = _json(record)
    if "transfer_id" not in found or "ledger_timestamp" not in found:
        raise UsageError(f"{place_of(record)} is no posted transfer")
    return found


def _json(record: Record) -> Mapping[str, Any]:
    try:
        found = orjson.loads(record.value() or b"")
    except orjson.JSONDecodeError:
        raise UsageError(f"{place_of(record)} is no announcement: it is not JSON") from None
    if not isinstance(found, dict):
        raise UsageError(f"{place_of(record)} is no announcement: it is no JSON object")
    return found


def _object_id(found: Event | Dead) -> str:
    if isinstance(found, Dead):
        return ""
    number = found.body["data"]["object"].get("id")
    return number if isinstance(number, str) else ""


def _money(chain: Chain) -> Iterable[object]:
    return [
        (leg.id, leg.amount, leg.debit and leg.debit.id, leg.credit and leg.credit.id)
        for leg in chain.legs
    ]


def _amount_rule(leg: Leg) -> str:
    if leg.pending_ids and (
        leg.amount == AMOUNT_MAX or (leg.spec.kind == "void" and not leg.amount)
    ):
        return "reserved"
    return "at_most" if leg.spec.flags & BALANCING else "equal"


def _name(account: Any) -> str:  # noqa: ANN401 - an AccountRef or None
    if account is None:
        return ""
    return f"{account.name}[{account.key}]" if account.key else str(account.name)


def _clearing_sign(leg: Leg) -> int:
    if leg.debit is None or leg.credit is None:
        return 0
    return (leg.debit.name == CLEARING) - (leg.credit.name == CLEARING)
