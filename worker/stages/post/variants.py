"""All chains that one event may have been posted as: at each attempt, and to suspense.

They come in the order in which the worker itself tries them.
"""

from __future__ import annotations

from collections.abc import Iterator

from worker.core.chain import Chain
from worker.core.event import ATTEMPT_MAX, Event
from worker.core.translate import Translator


def variants(
    rules: Translator,
    event: Event,
    *,
    role: str,
    last: int = ATTEMPT_MAX,
    known: Chain | None = None,
) -> Iterator[Chain]:
    """The chain at each attempt up to `last`, and each diverted to suspense after it.

    known: the one at attempt 0, where it was translated before.
    """
    for attempt in range(last + 1):
        known = known if not attempt else None
        chain = known or rules.translate(event, role=role, attempt=attempt)
        if not isinstance(chain, Chain):
            continue
        yield chain
        if chain.suspends:
            diverted = rules.translate(event, role=role, attempt=attempt, diverted=True)
            if isinstance(diverted, Chain):
                yield diverted
