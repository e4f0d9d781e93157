"""Money in a ledger, moved as the worker moves it: events, the packaged rulebook, real postings."""

from __future__ import annotations

from typing import Any

from tests.jobs.serve.served import packaged_rulebook
from tests.unit.books import Books
from worker.core.ports import Ledger

CREATED = 1_700_000_000


class Money(Books):
    """A ledger under the packaged rulebook. name: sets its events apart in a shared ledger."""

    def __init__(self, *, ledger: Ledger | None = None, name: str = "") -> None:
        super().__init__(packaged_rulebook(), ledger=ledger)
        self._name = name
        self._facts = 0

    def charged(self, customer: str, amount: int, currency: str = "usd") -> None:
        """A card payment into a wallet."""
        self._told(
            "charge.succeeded",
            customer=customer,
            amount=amount,
            amount_captured=amount,
            currency=currency,
            paid=True,
            captured=True,
            status="succeeded",
        )

    def withdrawn(self, customer: str, amount: int, currency: str = "usd") -> None:
        """A withdrawal that was asked for and is not paid yet: a reservation."""
        self._told("wallet.withdrawal", customer=customer, amount=amount, currency=currency)

    def sent(self, payer: str, payee: str, amount: int) -> None:
        """Money from one wallet to another."""
        self._told("wallet.p2p", **{"from": payer, "to": payee}, amount=amount, currency="usd")

    def _told(self, kind: str, **content: Any) -> None:
        self._facts += 1
        fact = f"{self._name}{self._facts}"
        about = {"id": f"fact_{fact}", "created": CREATED, **content}
        assert self.kinds(self.event(kind, about, id=f"evt_{fact}")) == ["posted"]
