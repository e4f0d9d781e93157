"""What happened in a batch, as plain records for metrics, logs and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.core.ports import StageName

STAGES: tuple[StageName, ...] = ("decode", "translate", "post", "announce", "commit")


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch, announced and committed.

    events, legs: the batch's size; legs are transfers handed to the ledger.
    outcomes: records by (topic, outcome), the outcome's name as in docs/architecture.md.
    reasons: dead letters, parked events, rejections and conflicts by (outcome, reason).
    transfers: transfers posted by (ledger's name, transaction).
    stage_seconds: time that the batch spent in each stage.
    timestamps_ms: the records' timestamps, milliseconds since 1970, in any order; records that
        have none are left out.
    committed_ms: when the batch was committed, milliseconds since 1970.
    ledger_requests: requests to the ledger by operation (`create_transfers`, …).
    ledger_retries: requests sent again, smaller, because they were too large.
    """

    events: int
    legs: int
    outcomes: Mapping[tuple[str, str], int]
    committed_ms: int
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    transfers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    stage_seconds: Mapping[StageName, float] = field(default_factory=dict)
    timestamps_ms: Sequence[int] = ()
    ledger_requests: Mapping[str, int] = field(default_factory=dict)
    ledger_retries: int = 0
