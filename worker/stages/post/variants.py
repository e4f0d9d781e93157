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


def excess(chain: Chain, stored: Transfer | None) -> int | None:
    """By how much an event's total exceeds what the ledger has of its fact, in minor units.

    Negative where it tells less; None where other money is a conflict: the rule does not say what
    books the more, it is another currency, or the ledger has nothing of the fact.
    stored: the transfer of the chain's first leg, None where it is not in the ledger.
    """
    first = chain.legs[0]
    if not chain.more or stored is None or stored.ledger != first.currency.ledger:
        return None
    return first.amount - stored.amount
