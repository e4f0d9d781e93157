"""The modules that handle money and identity, in areas, and the test files that see each.

Files of tests that start the worker in another process are left out: a mistake is in one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.mutants.mutations import ROOT

ELSEWHERE: Final = (
    "adr_hostile", "adr_text", "architecture", "balance_gauges", "cli", "compiled", "config",
    "convert", "demo", "doctor", "generate", "generate_command", "observe", "open_ledger",
    "opening", "packaged_lock", "registry", "rulebook_lock", "slow_probes", "structure",
    "supply_chain", "tigerbeetle_metrics", "topics", "watchdog", "job_transactions",
    "real_ledger",
)  # fmt: skip
"""These need other processes or seconds of waiting, or look at files and not at what code does."""

LOOP: Final = (
    "tests/unit", "tests/contract", "tests/simulation", "tests/model", "tests/cases"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Area:
    """Modules that are scored together. paths: files, or folders without those below them."""

    name: str
    paths: tuple[str, ...]
    tests: tuple[str, ...] = LOOP

    def modules(self) -> Iterator[str]:
        """Each file of it, from the project's folder."""
        for path in self.paths:
            at = ROOT / "worker" / path
            files = sorted(at.glob("*.py")) if at.is_dir() else [at.with_suffix(".py")]
            yield from (str(file.relative_to(ROOT)) for file in files if file.stem != "__init__")

    def test_files(self) -> Iterator[str]:
        """Each file of its tests, from the project's folder."""
        yield from test_files(self.tests)


def test_files(paths: Iterable[str]) -> Iterator[str]:
    """The test files in some folders, or files as they are."""
    for path in paths:
        at = ROOT / path
        for file in sorted(at.glob("test_*.py")) if at.is_dir() else [at]:
            if file.stem.removeprefix("test_") not in ELSEWHERE:
                yield str(file.relative_to(ROOT))


CORE: Final = Area(
    "core",
    tuple(
        f"core/{name}"
        for name in (
            "account_ids", "assignment", "chain", "compiled_rules", "event", "ids", "keys",
            "leg_parts", "leg_specs", "matching", "money", "outcome", "packing", "predecessors",
            "requirements", "translate", "wire",
        )
    ),
)  # fmt: skip
POST: Final = Area(
    "stages/post",
    tuple(
        f"stages/post/{name}"
        for name in ("poster", "judge", "account_creator", "find_predecessors", "readback")
    ),
)
AREAS: Final = (
    CORE,
    POST,
    Area("core/expressions", ("core/expressions",)),
    Area(
        "the loop",
        (
            "pipeline", "stages/batch", "stages/partitions", "stages/in_flight", "stages/intake",
            "stages/commits", "stages/decode", "stages/announce", "stages/parking",
            "stages/priority", "stages/seek_check", "stages/item", "stages/opening",
            "stages/time_order", "stages/catching_up",
        ),
    ),
    Area("codecs", ("codecs",), (*LOOP, "tests/jobs/redrive/test_letters.py")),
    Area("producer", ("kafka/producer", "kafka/refused_records")),
    Area("registry", ("kafka/registry",), ("tests/unit/test_unknown_schema.py",)),
    Area(
        "ledger",
        ("ledger/tigerbeetle", "ledger/request_split", "ledger/embedded", "ledger/clock",
         "ledger/counted", "ledger/query_rows", "ledger/scan", "ledger/engine"),
    ),
    Area(
        "reconcile",
        ("jobs/reconcile",),
        tuple(
            f"tests/jobs/reconcile/test_{name}.py"
            for name in (
                "corruptions", "every_class", "open_items", "report_fields",
                "packaged_books", "page", "periods", "reconcile",
                "stripe_report", "unsettled",
            )
        ),
    ),
    Area(
        "replay",
        (
            "jobs/replay", "jobs/rebuild", "stages/post/ledger_status", "stages/post/variants",
            "stages/post/repost_guard",
        ),
        ("tests/jobs/replay", "tests/unit/test_ledger_status.py"),
    ),
    Area("sync", ("jobs/sync",), ("tests/jobs/sync",)),
    Area("feed", ("jobs/feed",), ("tests/jobs/feed",)),
    Area("trace", ("jobs/trace",), ("tests/jobs/trace", "tests/jobs/pages/test_shown.py")),
)  # fmt: skip

QUICK: Final = Area(
    "quick",
    (
        "core/outcome", "core/packing", "core/chain", "core/predecessors", "core/ids",
        "core/account_ids", "stages/post/poster", "stages/post/judge",
        "stages/post/account_creator", "stages/post/find_predecessors",
    ),
    tuple(
        f"tests/unit/test_{name}.py"
        for name in (
            "announced_again", "bounds", "closing", "every_field", "filled_accounts",
            "known_accounts", "missing_else", "outcome", "poster", "poster_requests",
            "predecessors", "requests", "requirements", "rulebook_origins", "told_more",
            "translate_chains",
            "translate_names", "wire",
        )
    ),
)  # fmt: skip
"""What CI tries a sample of: seconds of tests."""
