"""The ledger as people read it: opened read-only, with the rulebook's names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Final

from worker.config.sections import EMBEDDED
from worker.config.settings import Settings
from worker.core.account_ids import AccountRefs
from worker.core.chain import AccountRef
from worker.core.errors import UsageError
from worker.core.ids import OFFSET_BITS, OFFSET_MASK, position_base
from worker.core.ports import Ledger, RecordPosition
from worker.core.rulebook import DeclaredAccount, Rulebook
from worker.core.wire import Account as StoredAccount
from worker.core.wire import Transfer
from worker.ledger.open import opened_ledger
from worker.rulebooks.load import load

PARTITIONS_KNOWN: Final = 1024
"""Partitions per topic whose positions are recognised; a position holds a hash of them."""

NAMED_MAX: Final = 100_000


class NamedLedger:
    """A ledger and the names that a rulebook gives to what it holds."""

    def __init__(
        self, ledger: Ledger, rulebook: Rulebook, settings: Settings, *, groups: Sequence[str] = ()
    ) -> None:
        """groups: others than the configured one whose positions are recognised too."""
        self.ledger = ledger
        self.rulebook = rulebook
        self._accounts = AccountRefs(rulebook.accounts.values())
        self._currencies = {currency.ledger: currency for currency in rulebook.ledgers.values()}
        self._named: dict[int, AccountRef] = {}
        self._settings = settings
        self._groups = groups
        self._legs = _legs_by_code(rulebook)

    def name(self, account: StoredAccount) -> AccountRef:
        """The declared name and key of an account that the ledger holds."""
        return self._accounts.name_account(account)

    def names(self, numbers: set[int]) -> dict[int, AccountRef]:
        """The names of these accounts, by one lookup; what does not exist is left out."""
        unknown = [number for number in numbers if number not in self._named]
        if len(self._named) + len(unknown) > NAMED_MAX:
            self._named.clear()
            unknown = list(numbers)
        for account in self.ledger.lookup_accounts(unknown) if unknown else ():
            self._named[account.id] = self.name(account)
        return {number: self._named[number] for number in numbers if number in self._named}

    def currency(self, ledger: int) -> tuple[str, int]:
        """A ledger's currency and scale; `ledger:999` and 0 where the rulebook has none."""
        found = self._currencies.get(ledger)
        return (found.name, found.scale) if found else (f"ledger:{ledger}", 0)

    def declared(self, name: str) -> DeclaredAccount:
        """A declared account by its name.

        Raises:
            UsageError: there is none.
        """
        return declared_account(self.rulebook, name)

    def ledger_of(self, currency: str) -> int:
        """The ledger of a currency.

        Raises:
            UsageError: the rulebook has no such currency.
        """
        found = self.rulebook.ledgers.get(currency.lower())
        if found is None:
            close = get_close_matches(currency.lower(), self.rulebook.ledgers, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"the rulebook has no ledger for the currency {currency!r}{meant}")
        return found.ledger

    def debit_normal(self, name: str) -> bool:
        """Does this account grow by debits? An unknown one is taken to grow by credits."""
        declared = self.rulebook.accounts.get(name)
        return declared is not None and declared.debit_normal

    @cached_property
    def _partitions_by_base(self) -> dict[int, tuple[str, int]]:
        return known_positions(self._settings, groups=self._groups)

    def named_position(self, position: int) -> RecordPosition | None:
        """The record at a position (`user_data_64`); None for another group's or topic's."""
        found = self._partitions_by_base.get(position >> OFFSET_BITS << OFFSET_BITS)
        return RecordPosition(*found, position & OFFSET_MASK) if found else None

    def reason(self, transfer: Transfer) -> str:
        """The meaning of a transfer's code: the rulebook's legs, or the number."""
        return self._legs.get(transfer.code, str(transfer.code))


def declared_account(rulebook: Rulebook, name: str) -> DeclaredAccount:
    """A declared account by its name.

    Raises:
        UsageError: there is none.
    """
    found = rulebook.accounts.get(name)
    if found is None:
        close = get_close_matches(name, rulebook.accounts, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(f"the rulebook declares no account {name!r}{meant}")
    return found


def known_positions(
    settings: Settings, *, groups: Sequence[str] = ()
) -> dict[int, tuple[str, int]]:
    """Position base to topic and partition, of the input and parked topics.

    groups: beside the configured one. A base is 24 bits of a hash, so that each group that is
    looked for makes it likelier, by one in two thousand, that a stranger's is taken for it.
    """
    return {
        position_base(group=group, topic=topic, partition=partition): (topic, partition)
        for group in (*groups, settings.kafka.group_id)
        for topic in (*settings.topics.inputs.values(), *settings.topics.parked_topics)
        for partition in range(PARTITIONS_KNOWN)
    }


def _legs_by_code(rulebook: Rulebook) -> dict[int, str]:
    """The legs of each code, as `charge.gross`; several where legs share one."""
    by_code: dict[int, list[str]] = {}
    for transaction in rulebook.transactions:
        for leg in transaction.legs:
            if leg.code:
                by_code.setdefault(leg.code, []).append(f"{transaction.name}.{leg.name}")
    return {code: ", ".join(legs) for code, legs in by_code.items()}


@contextmanager
def open_named_ledger(settings: Settings, *, groups: Sequence[str] = ()) -> Iterator[NamedLedger]:
    """The configured ledger, for reading.

    groups: see `NamedLedger`.

    Raises:
        UsageError: the rulebook is wrong, or there is no ledger to read.
        DependencyUnavailable: from any later request that is not answered within the deadline.
    """
    rulebook = load(settings.rulebook)
    refuse_empty(settings)
    with opened_ledger(settings.ledger) as ledger:
        yield NamedLedger(ledger, rulebook, settings, groups=groups)


def refuse_empty(settings: Settings) -> None:
    """A ledger in memory would be a new, empty one, and so would a file that is not there."""
    if settings.ledger.in_memory:
        raise UsageError(
            "the in-memory ledger (ledger.addresses = embedded) has nothing to read:"
            " name embedded:FILE or a TigerBeetle cluster"
        )
    kind, _, file = settings.ledger.addresses.strip().partition(":")
    if kind == EMBEDDED and not Path(file).is_file():
        raise UsageError(f"there is no ledger file {file}")
