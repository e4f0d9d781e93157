"""All chains that one event may have been posted as: at each attempt, and to suspense.

They come in the order in which the worker itself tries them.
"""

from __future__ import annotations

from collections.abc import Iterator

from worker.core.chain import Chain
from worker.core.event import ATTEMPT_MAX, Event
from worker.core.translate import Translator
from worker.core.wire import Transfer


def variants(
    rules: Translator,
    event: Event,
    *,
    role: str,
    last: int = ATTEMPT_MAX,
    known: Chain | None = None,
) -> Iterator[Chain]:
    """The chain at each attempt up to `last`, each diverted to suspense, and each as what is more.

    known: the one at attempt 0, where it was translated before.
    """
    for attempt in range(last + 1):
        known = known if not attempt else None
        chain = known or rules.translate(event, role=role, attempt=attempt)
        if not isinstance(chain, Chain):
            continue
        yield from _with_diverted(rules, chain, role, more=False)
        if chain.more:
            more = rules.translate(event, role=role, attempt=attempt, more=True)
            if isinstance(more, Chain):
                yield from _with_diverted(rules, more, role, more=True)


def _with_diverted(rules: Translator, chain: Chain, role: str, *, more: bool) -> Iterator[Chain]:
    yield chain
    if chain.suspends:
        event, attempt = chain.event, chain.attempt
        diverted = rules.translate(event, role=role, attempt=attempt, diverted=True, more=more)
        if isinstance(diverted, Chain):
            yield diverted


def tells_more(chain: Chain, stored: Transfer | None) -> bool | None:
    """Whether an event tells more than the ledger has of its fact; None where it has the same.

    stored: the transfer of the chain's first leg, None where it is not in the ledger.
    Only where the rule says what books the more, and in the same currency: elsewhere other money
    is a conflict.
    """
    if not chain.more or stored is None:
        return None
    first = chain.legs[0]
    if stored.ledger != first.currency.ledger or stored.amount == first.amount:
        return None
    return first.amount > stored.amount
