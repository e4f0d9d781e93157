"""A ledger that is to be lost: events posted one by one at chosen times, and their topics.

They go through the worker's own decoder, rules, poster and writer, as a played day does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.jobs.reports.played import LedgerTime, Played, announcing, read_items, settle
from worker.codecs.decode import Decoder
from worker.config.settings import Settings
from worker.core.assignment import Assignment
from worker.core.ports import Headers
from worker.core.translate import ANY_ACCOUNT, Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import load
from worker.stages.decode import EventReader
from worker.stages.post.poster import Poster

TOPIC = "wallet.commands"
BEGAN = 1_767_225_600  # seconds
RULES = """
version: 1
ledgers:
  usd: {id: 840, scale: 2}
accounts:
  bank: {title: Bank, code: 1, type: asset}
  wallet:
    title: Wallet
    code: 2
    type: liability
    per: customer
    flags: [debits_must_not_exceed_credits]
  debt: {title: Debt, code: 3, type: asset, per: customer}
  suspense: {title: Suspense, code: 4, type: liability}
  shortfall_control: {title: Shortfall control, code: 6, type: asset}
transactions:
  fund:
    on: fund
    currency: usd
    transfers:
      gross:
        debit: bank
        credit: wallet[data.object.to]
        amount: data.object.amount
        suspense: suspense
        code: 1
  back:
    on: back
    origin: {transaction: fund, key: data.object.of}
    currency: usd
    transfers:
      back:
        debit: origin.gross.credit
        credit: bank
        amount: data.object.amount
        code: 2
  move:
    on: move
    currency: usd
    transfers:
      move:
        debit: wallet[data.object.payer]
        credit: wallet[data.object.to]
        amount: data.object.amount
        code: 3
  hold:
    on: hold
    currency: usd
    transfers:
      held:
        debit: wallet[data.object.payer]
        credit: bank
        amount: data.object.amount
        pending: true
        timeout: 1
        code: 4
  settle:
    on: settle
    currency: usd
    transfers:
      settled:
        post: {transaction: hold, leg: held, key: data.object.of, time: data.object.then}
  take:
    on: take
    currency: usd
    transfers:
      taken:
        debit: wallet[data.object.payer]
        credit: bank
        amount: data.object.amount
        shortfall: debt
        code: 5
"""


class Lost:
    """Takes events; `played` is what is in the topics and the ledger then."""

    def __init__(self, folder: Path) -> None:
        self.rules = folder / "rules.yaml"
        self.rules.write_text(RULES)
        rulebook = load(self.rules)
        clock = LedgerTime(BEGAN * 10**9)
        path = folder / "lost.file"
        self.played = Played(EmbeddedLedger(path=path, now_ns=clock), path, clock)
        self.reader = EventReader(Decoder(), Translator(rulebook, account=ANY_ACCOUNT))
        self.poster = Poster(self.played.ledger, Translator(rulebook), parked_max=0)
        self.writer = announcing(Settings(), rulebook.digest)
        self.assignments: dict[tuple[str, int], Assignment] = {}

    def take(
        self,
        number: str,
        kind: str,
        *,
        at: int,
        attempt: int = 0,
        event: Mapping[str, Any] = MappingProxyType({}),
        **fields: Any,
    ) -> str:
        """Post one event so many seconds after the beginning; what became of it.

        attempt: as a redrive asks for. event: more of its envelope; its own time is always the
        beginning. fields: its object.
        """
        whole = {"id": number, "type": kind, "created": BEGAN, "data": {"object": fields}, **event}
        records = self.played.records[TOPIC]
        headers: Headers = [("ledger_worker.attempt", str(attempt).encode())] if attempt else []
        value = json.dumps(whole).encode()
        records.append(ArchivedRecord(TOPIC, 0, len(records), b"k", value, headers, BEGAN * 1000))
        self.played.clock.now_ns = (BEGAN + at) * 10**9
        before = self.played.outcomes.copy()
        items = read_items(self.reader, [("commands", records[-1])], self.assignments)
        settle(self.played, self.poster, self.writer, items)
        (outcome,) = self.played.outcomes - before
        return outcome
