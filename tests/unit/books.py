"""A ledger with a rulebook on top, in memory unless given: tells it events as the worker would."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, cast

from worker.core.assignment import Assignment
from worker.core.event import Event
from worker.core.matching import carries
from worker.core.outcome import Outcome
from worker.core.ports import Ledger, Record
from worker.core.rulebook import Rulebook
from worker.core.translate import Translator
from worker.core.wire import Account, QueryFilter, Transfer
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import load
from worker.stages.batch import Batch, Limits
from worker.stages.item import Item
from worker.stages.post.poster import Poster


class Books:
    """One ledger, posted to by the real batches and the real poster."""

    def __init__(
        self,
        rulebook: Rulebook | Path,
        *,
        legs_max: int = 8189,
        ledger: Ledger | None = None,
        parked_max: int = 0,
    ) -> None:
        self.rulebook = rulebook if isinstance(rulebook, Rulebook) else load(rulebook)
        self.ledger: Ledger = ledger or EmbeddedLedger()
        self.translator = Translator(self.rulebook)
        self.poster = Poster(self.ledger, self.translator, parked_max=parked_max)
        self._legs_max = legs_max
        self._offsets = count()
        self._roles: dict[str, Assignment] = {}
        self._events = count(1)

    def event(self, kind: str, content: Mapping[str, Any], **envelope: Any) -> Event:
        """An event of its own id about this object."""
        body = {
            "id": f"evt_{next(self._events)}",
            "type": kind,
            "created": 1_700_000_000,
            "data": {"object": dict(content), **envelope.pop("data", {})},
            **envelope,
        }
        return Event(body["id"], kind, body["created"], json.loads(json.dumps(body)))

    def tell(self, *events: Event, attempts: int = 0, role: str = "") -> list[Outcome]:
        """The outcomes of events that come together, each topic's in this order.

        role: of the topic that they come on; the one that may carry them unless it is given.
        """
        batch = Batch(Limits(len(events) + 1, self._legs_max, 1 << 20))
        items = [self._item(event, attempts, role or self._role(event.type)) for event in events]
        for item in items:
            batch.add(item)
        found: dict[int, Outcome] = {}
        while batch.items:
            now = batch.cut()
            for item, outcome in zip(now, self.poster.post(now), strict=True):
                found[id(item)] = outcome
        return [found[id(item)] for item in items]

    def kinds(self, *events: Event, role: str = "") -> list[str]:
        """What became of events in a word each: the kind, or the reason of a dead letter."""
        return [
            str(one.dead.reason if one.dead else one.kind) for one in self.tell(*events, role=role)
        ]

    def balances(self) -> dict[str, int]:
        """Posted debits less credits of every account that is not at zero: `wallet[a] usd`."""
        currencies = {one.ledger: one.name for one in self.rulebook.ledgers.values()}
        found = {}
        for account in self.accounts():
            ref = self.translator.name_account(account)
            name = f"{ref.name}[{ref.key}]" if ref.key else ref.name
            balance = account.debits_posted - account.credits_posted
            if balance:
                found[f"{name} {currencies[account.ledger]}"] = balance
        return found

    def accounts(self) -> list[Account]:
        """All accounts."""
        return self.ledger.query_accounts(QueryFilter())

    def transfers(self) -> list[Transfer]:
        """All transfers, by time."""
        return self.ledger.query_transfers(QueryFilter())

    def _item(self, event: Event, attempts: int, role: str) -> Item:
        if role not in self._roles:
            base = (len(self._roles) + 1) << 40
            self._roles[role] = Assignment(role, 0, role, base, until=1 << 40)
        asked = self.translator.translate(event, role=role)
        record = cast("Record", None)
        return Item(record, self._roles[role], next(self._offsets), 1, role, asked, attempts)

    def _role(self, kind: str) -> str:
        topics: Iterable[tuple[str, Any]] = self.rulebook.topics.items()
        return next((role for role, topic in topics if carries(topic, kind)), "other")
