"""Events become what the ledger should hold: the legs that the worker's rulebook makes of them.

Every record of an input topic within the range leaves one row in `events`; the legs that the worker
may have posted for it are in `expected`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from worker.codecs.dead_letters import dated_ms
from worker.core.chain import BALANCING, AccountRef, Chain, Leg
from worker.core.event import Dead, Event, Reason
from worker.core.ids import TIME_SHIFT, hex_id
from worker.core.iso_times import iso_second
from worker.core.ports import Record
from worker.core.rulebook import Rulebook
from worker.core.translate import Translator
from worker.core.wire import AMOUNT_MAX
from worker.jobs.archive.records import has_position
from worker.jobs.duckdb_rows import RowBuffer
from worker.jobs.reconcile.records import origin_of
from worker.jobs.reconcile.stripe_side import (
    BANK,
    CLEARING,
    SETTLEMENT,
    UNSETTLED,
    balance_transaction,
    bank_names,
    category_of,
    due_ms,
    id_of,
    object_of,
    settled_object,
    told_by,
)
from worker.jobs.reconcile.tables import TABLES
from worker.stages.decode import EventReader
from worker.stages.post.find_predecessors import PredecessorLookup
from worker.stages.post.variants import excess, variants

"""A transfer's id has the fact's milliseconds above its 80 bits of hash."""

FEE_TYPES: Final = frozenset({"revenue", "expense"})
WAITING_MAX: Final = 1000
"""Chains whose predecessors are looked up together."""


class Period(NamedTuple):
    """The facts that are looked at, by their time in milliseconds; end 0 is open."""

    start_ms: int
    end_ms: int

    def holds(self, time_ms: int) -> bool:
        """Does a fact of this time belong to the range?"""
        return time_ms >= self.start_ms and (not self.end_ms or time_ms < self.end_ms)


Committed = Callable[[str, int, int], bool]
"""Takes a topic, partition and offset: has the live group committed that record?"""


class _Waiting(NamedTuple):
    """An event's row so far, its chain as translated, and every form it may have been sent in."""

    row: dict[str, Any]
    chain: Chain
    candidates: list[Chain]


@dataclass(slots=True)
class ExpectedPostings:
    """The tables `events`, `expected` and `settled` being filled.

    committed: says whether the live group has a record behind it.
    """

    rulebook: Rulebook
    span: Period
    stages: Mapping[str, RowBuffer]
    committed: Committed
    reader: EventReader
    translator: Translator
    predecessors: PredecessorLookup
    waiting: list[_Waiting] = field(default_factory=list)

    def take(self, record: Record, role: str) -> None:
        """One record of an input topic of this role."""
        (found,) = self.reader.decode([record], [role])
        answer, attempts = self.reader.translate(found, record, role=role)
        row: dict[str, Any] = dict.fromkeys(TABLES["events"], "") | {
            "origin": origin_of(record),
            "event_id": found.id if isinstance(found, Event) else "",
            "event_type": found.type if isinstance(found, Event) else "",
            "created_at": iso_second(found.created) if isinstance(found, Event) else "",
            "object_id": id_of(object_of(found)),
            "time_ms": found.created * 1000 if isinstance(found, Event) else dated_ms(record),
            "in_transit": has_position(record)
            and not self.committed(record.topic(), record.partition(), record.offset()),
        }
        if isinstance(answer, Chain):
            self.waiting.append(_Waiting(row, answer, self._candidates(answer, attempts, role)))
            if len(self.waiting) >= WAITING_MAX:
                self.flush()
            return
        if isinstance(answer, Dead):
            row |= {"outcome": "dead", "reason": answer.reason.value}
        else:
            row["outcome"] = answer.outcome
        self._event_row(row, found)

    def _event_row(self, row: Mapping[str, Any], found: Event | Dead) -> None:
        if not self.span.holds(int(row["time_ms"])):
            return
        self.stages["events"].add(row.values())
        if isinstance(found, Event) and found.type == SETTLEMENT:
            settled = balance_transaction(found)
            if settled is not None:
                self.stages["settled"].add((*settled, row["time_ms"], row["in_transit"]))

    def _candidates(self, chain: Chain, attempts: int, role: str) -> list[Chain]:
        """What the worker may have sent: the chain at each attempt, and diverted to suspense."""
        if not attempts and not chain.suspends:
            return [chain]
        return list(variants(self.translator, chain.event, role=role, last=attempts, known=chain))

    def flush(self) -> None:
        """Look up the accounts that waiting chains take from their origins, and write their rows.

        A chain whose predecessor is not in the ledger keeps its accounts open and says what it
        waits for; where it is in the ledger nevertheless, its accounts are not compared.
        """
        self._keep_what_tells_more()
        chains = [candidate for event in self.waiting for candidate in event.candidates]
        resolved = iter(self.predecessors.resolve(chains))
        for event in self.waiting:
            found = [next(resolved) for _ in event.candidates]
            if isinstance(found[0], Dead) and found[0].reason is not Reason.PREDECESSOR_MISSING:
                dead = {"outcome": "dead", "reason": found[0].reason.value}
                self._event_row(event.row | dead, event.chain.event)
                continue
            if isinstance(found[0], Dead) and found[0].or_nothing:
                self._event_row(event.row | {"outcome": "nothing_to_post"}, event.chain.event)
                continue
            waits_for = found[0].detail if isinstance(found[0], Dead) else ""
            self._chain_rows(
                event._replace(row=event.row | {"waits_for": waits_for}),
                [
                    candidate if isinstance(chain, Dead) else chain
                    for candidate, chain in zip(event.candidates, found, strict=True)
                ],
            )
        self.waiting.clear()

    def _keep_what_tells_more(self) -> None:
        """What an event with a total books depends on what the ledger has of its fact."""
        growing = {event.chain.legs[0].id for event in self.waiting if event.chain.more}
        stored = self.predecessors.stored(growing) if growing else {}
        kept = []
        for event in self.waiting:
            chain, candidates = event.chain, event.candidates
            beyond = excess(chain, stored.get(chain.legs[0].id)) or 0
            if beyond < 0:
                self._event_row(event.row | {"outcome": "nothing_to_post"}, chain.event)
                continue
            rule = chain.more if beyond else chain.transaction
            candidates = [each for each in candidates if each.transaction == rule]
            kept.append(event._replace(chain=candidates[0], candidates=candidates))
        self.waiting[:] = kept

    def _chain_rows(self, waiting: _Waiting, chains: Sequence[Chain]) -> None:
        chain = waiting.chain
        time_ms = chain.legs[0].id >> TIME_SHIFT
        self._unsettled(waiting, chains, time_ms)
        self._banked(chains)
        if not self.span.holds(time_ms):
            return
        variant = blake2b(repr(_money(chain)).encode(), digest_size=8).hexdigest()
        for candidate in chains:
            self._legs(candidate, variant)
        named = {"transaction_name": chain.transaction, "tag": hex_id(chain.tag)}
        posted = {"outcome": "chain", "variant": variant, "time_ms": time_ms}
        self._event_row(waiting.row | named | posted, chain.event)

    def _unsettled(self, waiting: _Waiting, chains: Iterable[Chain], time_ms: int) -> None:
        """What one side reports of a Stripe object, facts around the range included."""
        for chain in chains:
            for leg in chain.legs:
                sign = _sign_on(UNSETTLED, leg)
                if sign:
                    event = chain.event
                    about = settled_object(chain)
                    side = told_by(chain)
                    self.stages["unsettled"].add(
                        (
                            hex_id(leg.id),
                            about,
                            category_of(object_of(event)),
                            side,
                            sign,
                            event.id,
                            waiting.row["origin"],
                            time_ms,
                        )
                    )

    def _banked(self, chains: Iterable[Chain]) -> None:
        """What moves the bank account, facts around the range included."""
        for chain in chains:
            for leg in chain.legs:
                if _sign_on(BANK, leg):
                    about = object_of(chain.event)
                    row = (hex_id(leg.id), id_of(about), bank_names(about), due_ms(about))
                    self.stages["banked"].add((*row, chain.event.id))

    def _legs(self, chain: Chain, variant: str) -> None:
        tag, count = hex_id(chain.tag), len(chain.legs)
        for number, leg in enumerate(chain.legs):
            self.stages["expected"].add(
                (
                    tag,
                    variant,
                    chain.attempt * 2 + chain.diverted,
                    number,
                    count,
                    f"{chain.transaction}.{leg.spec.name}",
                    hex_id(leg.id),
                    _number(leg.debit),
                    _number(leg.credit),
                    _name(leg.debit),
                    _name(leg.credit),
                    leg.currency.ledger,
                    0 if leg.amount == AMOUNT_MAX else leg.amount,
                    _amount_rule(leg),
                    " ".join(map(hex_id, leg.pending_ids)),
                    self._is_fee(chain.event, leg),
                    _sign_on(CLEARING, leg),
                )
            )

    def _is_fee(self, event: Event, leg: Leg) -> bool:
        """Of the settlement feed, or on a revenue or expense account.

        An account that an origin would give, and that is not there, is of neither.
        """
        declared = self.rulebook.accounts
        accounts = [account for account in (leg.debit, leg.credit) if account and account.id >= 0]
        return event.type == SETTLEMENT or any(
            declared[account.name].type in FEE_TYPES for account in accounts
        )


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


def _number(account: AccountRef | None) -> str:
    """An account's id; empty where the pending transfer or an origin says it."""
    return hex_id(account.id) if account is not None and account.id >= 0 else ""


def _name(account: AccountRef | None) -> str:
    if account is None:
        return ""
    return f"{account.name}[{account.key}]" if account.key else account.name


def _sign_on(account: str, leg: Leg) -> int:
    """+1 where a leg debits the account, -1 where it credits it, else 0."""
    if leg.debit is None or leg.credit is None:
        return 0
    return (leg.debit.name == account) - (leg.credit.name == account)
