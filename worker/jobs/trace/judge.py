"""The verdict on one record: what the ledger holds of it, else what its letters say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from worker.codecs.dead_letters import timestamp_ms
from worker.core.chain import AccountRef, Chain, Leg
from worker.core.event import Dead, Event, Skipped
from worker.core.iso_times import MILLISECOND
from worker.core.money import major_units
from worker.core.outcome import same_chain
from worker.core.ports import Record, RecordPosition, position_of
from worker.core.translate import Translator
from worker.core.wire import Account, AccountFilter, AccountFlags, Transfer
from worker.jobs.trace.found import TracedRecord, TracedTransfer, Verdict
from worker.jobs.trace.rules import considered, ignored_by
from worker.jobs.trace.search import Letter
from worker.ledger.books import NamedLedger
from worker.stages.decode import EventReader
from worker.stages.post.find_predecessors import PredecessorLookup
from worker.stages.post.readback import PostedLegs
from worker.stages.post.variants import excess, variants

SHORT: Mapping[str, str] = {"exceeds_credits": "credits", "exceeds_debits": "debits"}
"""The ledger's two refusals for want of funds, and the side whose total is exceeded."""


class TranslatedRecord(NamedTuple):
    """A record as the worker reads it. answer: what the rulebook in force makes of its event."""

    record: Record
    at: RecordPosition
    role: str
    event: Event | None
    answer: Chain | Skipped | Dead


class RecordJudge:
    """Judges records against one ledger, under the rulebook in force."""

    def __init__(self, books: NamedLedger, translator: Translator, reader: EventReader) -> None:
        self._books = books
        self._translator = translator
        self._reader = reader
        self._predecessors = PredecessorLookup(
            books.ledger, translator, PostedLegs(books.ledger, translator)
        )

    def read(self, record: Record, role: str) -> TranslatedRecord:
        """Decode and translate a record of an input topic."""
        (found,) = self._reader.decode([record], [role])
        answer, _ = self._reader.translate(found, record, role=role)
        at = position_of(record)
        return TranslatedRecord(
            record, at, role, found if isinstance(found, Event) else None, answer
        )

    def judge(
        self,
        translated: TranslatedRecord,
        *,
        own: Sequence[TracedTransfer],
        others: Sequence[TracedTransfer],
        letters: Sequence[Letter],
        committed: bool,
    ) -> TracedRecord:
        """What became of a record.

        own: the transfers that it posted. others: those of the same key that others posted.
        letters: about it, oldest first.
        """
        verdict, why = self._verdict(translated, own, others, letters, committed=committed)
        event = translated.event
        rules = tuple(considered(self._books.rulebook, event)) if event else ()
        chain = translated.answer if isinstance(translated.answer, Chain) else None
        return TracedRecord(
            at=translated.at,
            time_ms=timestamp_ms(translated.record),
            role=translated.role,
            event=event,
            committed=committed,
            rules=rules,
            chain=chain,
            verdict=verdict,
            why=why,
            transfers=tuple(own),
            letters=tuple(letters),
        )

    def _verdict(
        self,
        translated: TranslatedRecord,
        own: Sequence[TracedTransfer],
        others: Sequence[TracedTransfer],
        letters: Sequence[Letter],
        *,
        committed: bool,
    ) -> tuple[Verdict, str]:
        if own:
            return "posted", ""
        if not committed:
            return "not_read_yet", "the worker's group has not committed it"
        if isinstance(translated.answer, Chain) and others:
            return self._posted_by_others(translated, translated.answer, others)
        if letters:
            return letters[-1].kind, self._letter_words(translated, letters[-1])
        return self._without_letter(translated)

    def _posted_by_others(
        self, translated: TranslatedRecord, chain: Chain, others: Sequence[TracedTransfer]
    ) -> tuple[Verdict, str]:
        stored = [each.transfer for each in others]
        first = next((each for each in stored if each.id == chain.legs[0].id), None)
        if self._same(translated, stored):
            return "redelivered", f"its money was posted before, by {_posters(others)}"
        if excess(chain, first) is not None:
            return (
                "redelivered",
                f"its total was told before, or was booked as more, beside {_posters(others)}",
            )
        return "conflict", self._both_amounts(chain, others)

    def _without_letter(self, translated: TranslatedRecord) -> tuple[Verdict, str]:
        answer = translated.answer
        if isinstance(answer, Dead):
            return "dead", f"{answer.reason}: {answer.detail}"
        if isinstance(answer, Skipped):
            return self._skipped(translated, answer)
        return "unknown", "nothing in the ledger, and no letter was found for it"

    def _skipped(self, translated: TranslatedRecord, answer: Skipped) -> tuple[Verdict, str]:
        if answer.outcome == "ignored" and translated.event is not None:
            entry = ignored_by(self._books.rulebook, translated.event)
            return "ignored", f"by the rulebook's entry {entry}"
        return "nothing_to_post", "every leg falls away"

    def _same(self, translated: TranslatedRecord, stored: Sequence[Transfer]) -> bool:
        """Does the ledger hold the record's money in any form that the worker may send it in?"""
        if translated.event is None:
            return False
        for form in variants(self._translator, translated.event, role=translated.role):
            (chain,) = self._predecessors.resolve([form])
            if isinstance(chain, Dead):
                continue
            pending = [each for leg in chain.legs for each in leg.pending_ids]
            known = {each.id: each for each in stored} | {
                each.id: each
                for each in (self._books.ledger.lookup_transfers(pending) if pending else ())
            }
            found = [known[leg.id] for leg in chain.legs if leg.id in known]
            if same_chain(chain, found, known):
                return True
        return False

    def _both_amounts(self, chain: Chain, others: Sequence[TracedTransfer]) -> str:
        asks = _sums((leg.currency.name, leg.amount, leg.currency.scale) for leg in chain.legs)
        holds = _sums(
            (each.currency, each.transfer.amount, self._books.currency(each.transfer.ledger)[1])
            for each in others
        )
        return (
            f"it asks for {asks}, and the ledger holds {holds} under the same key, posted by"
            f" {_posters(others)}"
        )

    def _letter_words(self, translated: TranslatedRecord, letter: Letter) -> str:
        if letter.kind == "rejected":
            lacking = self._lacking(translated, letter)
            leg = f" at the leg {letter.leg}" if letter.leg else ""
            return f"{letter.reason}{leg}{f': {lacking}' if lacking else ''}"
        return f"{letter.reason}: {letter.detail}"

    def _lacking(self, translated: TranslatedRecord, letter: Letter) -> str:
        """For want of funds: what there was, and what was asked for."""
        side = SHORT.get(letter.reason)
        if side is None or not isinstance(translated.answer, Chain):
            return ""
        (chain,) = self._predecessors.resolve([translated.answer])
        if isinstance(chain, Dead):
            return ""
        for leg in chain.legs:
            ref = leg.debit if side == "credits" else leg.credit
            if leg.spec.name == letter.leg and ref is not None:
                return self._available(ref, leg, side, letter.time_ms)
        return ""

    def _available(self, ref: AccountRef, leg: Leg, side: str, time_ms: int) -> str:
        stored = self._books.ledger.lookup_accounts([ref.id])
        amount = f"{major_units(leg.amount, leg.currency.scale)} {leg.currency.name}"
        name = f"{ref.name}[{ref.key}]" if ref.key else ref.name
        if not stored:
            return f"{amount} was asked of {name}, which the ledger does not have yet"
        then, when = self._balances(stored[0], time_ms)
        net = then.credits_posted - then.debits_posted
        free = net - then.debits_pending if side == "credits" else -net - then.credits_pending
        has = f"{major_units(free, leg.currency.scale)} {leg.currency.name}"
        short = major_units(leg.amount - free, leg.currency.scale)
        lacked = f", {short} too little" if leg.amount > free else ""
        return f"{amount} was asked of {name}, which had {has} {when}{lacked}"

    def _balances(self, account: Account, time_ms: int) -> tuple[Account, str]:
        """An account as it was at a time, where it keeps a history; else as it is now."""
        if account.flags & AccountFlags.HISTORY and time_ms:
            until = (time_ms + 1) * MILLISECOND - 1
            query = AccountFilter(account.id, timestamp_max=until, limit=1, reversed=True)
            found = self._books.ledger.account_balances(query)
            amounts = found[0][:4] if found else (0, 0, 0, 0)
            names = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
            return account._replace(**dict(zip(names, amounts, strict=True))), "available then"
        return account, "available now"


def _posters(transfers: Iterable[TracedTransfer]) -> str:
    found = sorted({str(each.record) for each in transfers if each.record is not None})
    return " and ".join(found) or "a record of another group or topic"


def _sums(amounts: Iterable[tuple[str, int, int]]) -> str:
    """Amounts as they are told: each leg's, in its order."""
    return " + ".join(f"{major_units(amount, scale)} {name}" for name, amount, scale in amounts)
