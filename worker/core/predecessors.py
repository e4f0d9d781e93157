"""The earlier chains that a chain needs, and the accounts that it takes from them.

Ids, legs and amounts never depend on what is looked up; a found transfer counts only if its id
recomputes from the requested key. An account still to be filled has a negative id: -1 is the first
of `Needs.fills`, -2 the second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from worker.core.account_ids import AccountRefs, BadKey
from worker.core.chain import AccountRef, Chain, Fill, Leg, Sought
from worker.core.event import ATTEMPT_MAX, Dead, Reason
from worker.core.ids import TIME_SHIFT, leg_suffix, transfer_id
from worker.core.rulebook import OriginLeg, Side
from worker.core.wire import AccountFlags, Transfer

HASHED_KEY: Final = "#"
"""What a key begins with that was too long for the ledger to hold."""

OPEN: Final = ~int(AccountFlags.CLOSED)

FoundAccounts = Mapping[tuple[str, Side], AccountRef]
"""The accounts of an origin by leg and side."""


def candidate_ids(sought: Sought, time_ms: int) -> dict[int, OriginLeg]:
    """Every id that counts as part of the chain, if it was made at this time."""
    return {
        transfer_id(
            time_ms=time_ms,
            key_field=sought.key_field,
            suffix=leg_suffix(origin_leg.leg, "", origin_leg.part, attempt),
        ): origin_leg
        for origin_leg in sought.legs
        for attempt in range(ATTEMPT_MAX + 1)
    }


def recomputes(sought: Sought, transfers: Iterable[Transfer]) -> dict[tuple[str, Side], int]:
    """Account ids by leg and side, from the transfers whose ids recompute; empty: not found."""
    found: dict[tuple[str, Side], int] = {}
    expected: dict[int, dict[int, OriginLeg]] = {}
    for transfer in transfers:
        time_ms = transfer.id >> TIME_SHIFT
        if time_ms not in expected:
            expected[time_ms] = candidate_ids(sought, time_ms)
        origin_leg = expected[time_ms].get(transfer.id)
        if origin_leg is None:
            continue
        for side in origin_leg.sides:
            account = transfer.debit_account_id if side == "debit" else transfer.credit_account_id
            found[origin_leg.leg, side] = account
    return found


def fill(
    chain: Chain, found: FoundAccounts, accounts: AccountRefs, known: Collection[int] = ()
) -> Chain | Dead:
    """The chain with its open accounts filled in, or why that cannot be.

    found: empty where an optional origin is not in the ledger.
    known: which of the accounts that are asked for the ledger has, by id.
    """
    if chain.needs is None:
        return chain
    refs: dict[int, AccountRef] = {}
    for number, wanted in enumerate(chain.needs.fills):
        if wanted.known is not None:
            ref = _by_known(wanted, known)
        else:
            ref = _filled(wanted, found, accounts, refs)
        if isinstance(ref, Dead):
            return ref
        refs[-number - 1] = ref
    return _with(chain, refs)


def with_stored_accounts(chain: Chain, stored: Mapping[int, Transfer]) -> dict[int, int] | None:
    """For a chain that is in the ledger: the account id of each open side; None when it is not.

    An optional origin may have been posted since; the accounts stored with the chain remain.
    """
    account_ids: dict[int, int] = {}
    for leg in chain.legs:
        transfer = stored.get(leg.id)
        if transfer is None:
            return None
        for ref, account in (
            (leg.debit, transfer.debit_account_id),
            (leg.credit, transfer.credit_account_id),
        ):
            if ref is not None and ref.id < 0:
                account_ids[ref.id] = account
    return account_ids


def with_accounts(chain: Chain, refs: Mapping[int, AccountRef]) -> Chain | Dead:
    """The chain with its open sides filled by these accounts."""
    return _with(chain, {number: _open(ref) for number, ref in refs.items()})


def _by_known(wanted: Fill, known: Collection[int]) -> AccountRef | Dead:
    chosen = wanted.otherwise
    if wanted.known is not None and wanted.known.id in known:
        chosen = wanted.account
    return chosen or Dead(Reason.MISSING_FIELD, f"{wanted.text}: there is no such account")


def _filled(
    wanted: Fill, found: FoundAccounts, accounts: AccountRefs, filled: Mapping[int, AccountRef]
) -> AccountRef | Dead:
    """filled: the sides before it, among them what its `else` takes from an origin."""
    origin_account = found.get((wanted.leg, wanted.side))
    if origin_account is None or (wanted.family is not None and not origin_account.key):
        if wanted.otherwise is not None:
            return filled.get(wanted.otherwise.id, wanted.otherwise)
        return Dead(Reason.MISSING_FIELD, f"{wanted.text}: the origin has no such account")
    if wanted.family is None and origin_account.ledger == wanted.ledger:
        return _open(origin_account)
    return _member(wanted, origin_account, accounts)


def _member(wanted: Fill, origin_account: AccountRef, accounts: AccountRefs) -> AccountRef | Dead:
    """Another account with the key of the one that was found: of a family, or of a currency."""
    if origin_account.key.startswith(HASHED_KEY):
        return Dead(Reason.BAD_KEY, f"{wanted.text}: the key is too long to be read back")
    account = wanted.family or accounts.declared(origin_account.code)
    if account is None:
        return Dead(Reason.CONFLICT, f"{wanted.text}: the account is not in this rulebook")
    try:
        return accounts.ref(account, wanted.ledger, origin_account.key)
    except BadKey as problem:
        return Dead(Reason.BAD_KEY, f"{wanted.text} {problem}")


def _open(ref: AccountRef) -> AccountRef:
    """As it was declared: being closed is the ledger's business."""
    return ref._replace(flags=ref.flags & OPEN)


def _with(chain: Chain, refs: Mapping[int, AccountRef]) -> Chain | Dead:
    legs: list[Leg] = []
    for leg in chain.legs:
        debit = refs[leg.debit.id] if leg.debit and leg.debit.id < 0 else leg.debit
        credit = refs[leg.credit.id] if leg.credit and leg.credit.id < 0 else leg.credit
        if debit is not None and credit is not None and debit.id == credit.id:
            leg_name = f"{leg.spec.transaction}.{leg.spec.name}"
            return Dead(Reason.SAME_ACCOUNT, f"{leg_name} debits and credits one account")
        legs.append(leg._replace(debit=debit, credit=credit))
    return chain._replace(legs=tuple(legs))
