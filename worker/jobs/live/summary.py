"""What a run did, in a line for people: what needs nobody first, then what needs somebody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.core.outcome import OutcomeKind
from worker.core.plural import count_of
from worker.jobs.text_tables import BAD, GOOD, Styled

FINE: Final = (
    OutcomeKind.POSTED,
    OutcomeKind.REDELIVERED,
    OutcomeKind.NOTHING,
    OutcomeKind.IGNORED,
)
WAITING: Final = OutcomeKind.PARKED
REFUSED: Final = (OutcomeKind.REJECTED, OutcomeKind.CONFLICT, OutcomeKind.DEAD)
LOOK: Final = "`ledger-worker status` says why, `ledger-worker trace ID` what became of one"


def summary_lines(outcomes: Mapping[str, int]) -> list[str | Styled]:
    """`1,234 events: 1,200 posted, 30 ignored; 4 dead`, and what to do where somebody must."""
    total = sum(outcomes.values())
    if not total:
        return ["0 events: none came"]
    parts = (_counted(outcomes, FINE), _counted(outcomes, (WAITING,)), _counted(outcomes, REFUSED))
    said = "; ".join(part for part in parts if part)
    refused = any(outcomes.get(kind) for kind in REFUSED)
    lines: list[str | Styled] = [
        Styled(f"{count_of(total, 'event')}: {said}", BAD if refused else GOOD)
    ]
    return [*lines, f"next: {LOOK}"] if parts[1] or refused else lines


def _counted(outcomes: Mapping[str, int], kinds: tuple[OutcomeKind, ...]) -> str:
    return ", ".join(
        f"{outcomes[kind]:,} {kind.replace('_', ' ')}" for kind in kinds if outcomes.get(kind)
    )
