"""Ids of the accounts that legs name, kept in a bounded cache."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.core import wire
from worker.core.chain import AccountRef, new
from worker.core.expressions.operators import Value
from worker.core.ids import account_id, account_key
from worker.core.json_kinds import kind_of
from worker.core.rulebook import DeclaredAccount

GENERATION_MAX: Final = 65_536
"""Accounts per generation of the cache; two generations are kept."""

CACHED_KEY_MAX: Final = 256
"""Characters; a longer key is hashed anew each time instead of filling the memory."""


def key_problem(key: Value) -> str:
    """What is wrong with a family key; empty when nothing is."""
    if type(key) is not str:
        return f"is not a string but {kind_of(key)}"
    if not key:
        return "is empty"
    if "\0" in key:
        return "holds NUL"
    try:
        key.encode()
    except UnicodeEncodeError:
        return "holds a lone surrogate"
    return ""


class BadKey(Exception):
    """A family key that cannot name an account; the message says why."""


class AccountRefs:
    """Every account of a rulebook. Not thread-safe: the translating thread owns it."""

    def __init__(self, accounts: Iterable[DeclaredAccount]) -> None:
        self._by_code = {account.code: account for account in accounts}
        self._young: dict[tuple[int, int, Value], AccountRef] = {}
        self._old: dict[tuple[int, int, Value], AccountRef] = {}

    def ref(self, account: DeclaredAccount, ledger: int, key: Value) -> AccountRef:
        """The account on a ledger; key "" for one without `per`.

        Only valid keys are kept, so a key that is found needs no check.

        Raises:
            BadKey: when the key cannot be one.
        """
        cache_key = (account.code, ledger, key)
        try:
            found = self._young.get(cache_key)
        except TypeError:  # a list or an object cannot be looked up
            raise BadKey(f"is not a string but {kind_of(key)}") from None
        return found if found is not None else self._miss(account, cache_key)

    def declared(self, code: int) -> DeclaredAccount | None:
        """The declared account of a code; None where the rulebook has none."""
        return self._by_code.get(code)

    def _miss(self, account: DeclaredAccount, cache_key: tuple[int, int, Value]) -> AccountRef:
        ref = self._old.get(cache_key)
        if ref is None:
            ref = self._make(account, cache_key[1], cache_key[2])
        if len(ref.key) > CACHED_KEY_MAX:
            return ref
        if len(self._young) >= GENERATION_MAX:
            self._old, self._young = self._young, {}
        self._young[cache_key] = ref
        return ref

    def _make(self, account: DeclaredAccount, ledger: int, key: Value) -> AccountRef:
        if account.per and (problem := key_problem(key)):
            raise BadKey(problem)
        made = account_id(ledger=ledger, name=account.name, key=key)
        return new(AccountRef, (made, account.name, key, ledger, account.code, account.flags))

    def name_account(self, stored: wire.Account) -> AccountRef:
        """Names an account that was read from the ledger, by what it says of itself.

        An account that this rulebook does not declare is called `code:1234`; user data that is no
        text shows as `#` and hex.
        """
        declared = self._by_code.get(stored.code)
        name = declared.name if declared else f"code:{stored.code}"
        return AccountRef(
            stored.id, name, _stored_key(stored), stored.ledger, stored.code, stored.flags
        )


def _stored_key(stored: wire.Account) -> str:
    parts = (stored.user_data_128, stored.user_data_64, stored.user_data_32)
    try:
        return account_key(*parts)
    except UnicodeDecodeError:
        widths = (16, 8, 4)
        raw = b"".join(n.to_bytes(w, "little") for n, w in zip(parts, widths, strict=True))
        return "#" + raw.hex()
