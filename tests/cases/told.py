"""Events told one by one to the real rules, batches and poster; what must wait comes again.

A record is bytes, as JSON or Avro, on its role's topic. What is parked comes again until nothing
moves any more; then once more as a record that was parked as often as may be, which is given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, cast

from tests.unit.delivered import by_avro, by_json
from worker.core.assignment import Assignment
from worker.core.event import Event
from worker.core.matching import carries
from worker.core.outcome import OutcomeKind
from worker.core.ports import Ledger, Record
from worker.core.translate import Translator
from worker.core.wire import QueryFilter
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import PACKAGED, load
from worker.stages.batch import Batch, Limits
from worker.stages.item import Item
from worker.stages.post.poster import Poster

TRANSLATOR = Translator(load(PACKAGED))
PARKED_MAX = 9
"""More than any event of a case waits for others."""

ON_CREDIT = frozenset({"liability", "revenue", "equity"})
"""Types of accounts that READMEs and statements show by credits less debits."""

Balances = dict[tuple[str, str, str], int]
"""By account, key and currency, each on its own side; zeros left out."""


class Told:
    """One ledger and what it was told. dead: reasons; waiting: parked events, in order.

    A conflict is dead as well.
    """

    def __init__(
        self, *, translator: Translator = TRANSLATOR, ledger: Ledger | None = None
    ) -> None:
        self.ledger: Ledger = ledger or EmbeddedLedger()
        self.translator = translator
        self.poster = Poster(self.ledger, translator, parked_max=PARKED_MAX)
        self.dead: list[tuple[str, str]] = []
        self.rejected: list[str] = []
        self.alerts: list[str] = []
        self.waiting: list[Event] = []
        self.net: dict[str, int] = {}
        self._net_of: set[str] = set()
        self._offsets = count()
        self._roles: dict[tuple[str, int], Assignment] = {}

    def tell(self, event: Event, *, tries: int = 0) -> str:
        """The outcome's kind."""
        role = self._role(event.type)
        asked = self.translator.translate(event, role=role)
        stay = self._stay(role, tries)
        item = Item(cast("Record", None), stay, next(self._offsets), 1, role, asked)
        batch = Batch(Limits(2, 8189, 1 << 20))
        batch.add(item)
        (outcome,) = self.poster.post(batch.cut())
        kind = str(outcome.kind)
        if outcome.kind is OutcomeKind.PARKED:
            self.waiting.append(event)
        if outcome.dead is not None and outcome.kind in {OutcomeKind.DEAD, OutcomeKind.CONFLICT}:
            self.dead.append((event.type, f"{outcome.dead.reason}: {outcome.dead.detail}"))
        if outcome.rejection is not None:
            self.rejected.append(event.type)
        if outcome.alert:
            self.alerts.append(outcome.alert)
        if event.type == "balance_transaction.created":
            self._settled(event)
        return kind

    def tell_waiting(self) -> None:
        """What is parked comes again until nothing moves, then for the last time."""
        for tries in (1, PARKED_MAX):
            moved = True
            while moved and self.waiting:
                again, self.waiting = self.waiting, []
                kinds = [self.tell(event, tries=tries) for event in again]
                moved = set(kinds) != {"parked"}

    def tell_all(self, events: Iterable[Event]) -> Told:
        """Every event, then what had to wait; Stripe's balance is right after each."""
        for event in events:
            self.tell(event)
            self.check()
        self.tell_waiting()
        self.check()
        return self

    def check(self) -> None:
        """Clearing and reserve together are the sum of net of the settlement events read."""
        held: dict[str, int] = {}
        for (account, _key, currency), balance in self.balances().items():
            if account in {"stripe_clearing", "stripe_reserve"}:
                held[currency] = held.get(currency, 0) + balance
            assert account != "shortfall_control", "the control account is not at zero"
            assert account != "customer_wallet" or balance > 0, "a wallet is below zero"
        held = {currency: balance for currency, balance in held.items() if balance}
        assert held == {currency: net for currency, net in self.net.items() if net}

    def balances(self) -> Balances:
        """Every account that is not at zero."""
        book = self.translator.rulebook
        currencies = {each.ledger: name for name, each in book.ledgers.items()}
        found: Balances = {}
        for account in self.ledger.query_accounts(QueryFilter()):
            ref = self.translator.name_account(account)
            balance = account.debits_posted - account.credits_posted
            if balance:
                sign = -1 if book.accounts[ref.name].type in ON_CREDIT else 1
                found[ref.name, ref.key, currencies[account.ledger]] = sign * balance
        return found

    def totals(self) -> dict[str, int]:
        """`account currency`, keys added up; zeros left out."""
        found: dict[str, int] = {}
        for (account, _key, currency), balance in self.balances().items():
            name = f"{account} {currency}"
            found[name] = found.get(name, 0) + balance
        return {name: balance for name, balance in found.items() if balance}

    def _settled(self, event: Event) -> None:
        """A balance transaction counts once, however often it is told."""
        about = event.body["data"]["object"]
        if about["id"] in self._net_of:
            return
        self._net_of.add(about["id"])
        currency = about["currency"]
        if not _moves_within(about):
            self.net[currency] = self.net.get(currency, 0) + about["net"]

    def _role(self, kind: str) -> str:
        topics: Sequence[tuple[str, Any]] = tuple(self.translator.rulebook.topics.items())
        return next((role for role, topic in topics if carries(topic, kind)), "other")

    def _stay(self, role: str, tries: int) -> Assignment:
        if (role, tries) not in self._roles:
            base = (len(self._roles) + 1) << 40
            stay = Assignment(role, 0, role, base, until=1 << 40)
            stay.tries = tries
            self._roles[role, tries] = stay
        return self._roles[role, tries]


def _moves_within(about: dict[str, Any]) -> bool:
    """Whether one row tells both sides of a reserve: money moves from clearing to the reserve."""
    both = about.get("balance_type") and about.get("type") in {"reserve_hold", "reserve_release"}
    return about["reporting_category"] in RESERVES and not both


RESERVES = frozenset(
    {
        "risk_reserved_funds",
        "connect_reserved_funds",
        "payout_minimum_balance_hold",
        "payout_minimum_balance_release",
    }
)


def decoded(bodies: Iterable[dict[str, Any]], *, avro: bool = False) -> list[Event]:
    """The events as a topic brings them."""
    return [by_avro(body) if avro else by_json(body) for body in bodies]
