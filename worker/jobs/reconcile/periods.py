"""Closed periods: what was signed, kept in a folder as one JSON file and one CSV file each.

The JSON file carries a digest of itself and of the period before it, so a change is noticed. The
CSV file is for people: who looks after an open item, what is known of it, how it was resolved.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from worker.core.errors import UsageError
from worker.core.iso_times import iso_time
from worker.core.visible import defused, undefused

VERSION: Final = 1
NAMED_BY: Final = ("class", "event_id", "leg", "transfer_id", "position", "currency")
"""What makes an item the same in the CSV file and in the next period."""

BY_PEOPLE: Final = ("owner", "comment", "resolution")
SHOWN: Final = ("expected_amount", "actual_amount", "day", "detail")

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClosedPeriod:
    """A period that somebody closed.

    start_ns, end_ns: of its facts, nanoseconds; start 0 is the beginning.
    cut_ns: every transfer with an earlier ledger timestamp was in it.
    read: topic/partition to [first offset, next offset, records, digest of their values].
    stripe_reports: file names and SHA-256.
    accounts: name/currency to closing balance, debits less credits in minor units.
    items: what was open, with amounts in minor units.
    before: the digest of the period before; empty for the first.
    """

    version: int
    start_ns: int
    end_ns: int
    cut_ns: int
    closed_at: str
    closed_by: str
    worker: str
    rulebook: str
    read: Mapping[str, Sequence[Any]]
    transfers: Sequence[Any]
    stripe_reports: Mapping[str, str]
    accounts: Mapping[str, int]
    items: Sequence[Item]
    summary: Mapping[str, Any]
    before: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """`2026-01-01_2026-02-01`: the name of its files."""
        return period_name(self.start_ns, self.end_ns)

    def holds(self, time_ms: int) -> bool:
        """Is a fact of this time one of the period's?"""
        return self.start_ns <= time_ms * 1_000_000 < self.end_ns


def period_name(start_ns: int, end_ns: int) -> str:
    """Both ends as days where they are midnights, else with their times."""
    ends = (iso_time(start_ns) if start_ns else "beginning", iso_time(end_ns))
    return "_".join(end.removesuffix("T00:00:00.000000Z").replace(":", "") for end in ends)


def digest_of(period: ClosedPeriod) -> str:
    """SHA-256 over everything but the digest itself."""
    document = asdict(replace(period, digest=""))
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def read_periods(folder: Path) -> list[ClosedPeriod]:
    """The closed periods in order, with what people have written on their items since.

    Raises:
        UsageError: a file cannot be read, was changed, or one between two is missing.
    """
    if not folder.is_dir():
        raise UsageError(f"--periods {folder}: there is no such folder")
    found = sorted(
        (_read(path) for path in folder.glob("*.json")), key=lambda period: period.end_ns
    )
    before = ""
    for period in found:
        if period.before != before:
            raise UsageError(
                f"{folder}: the period before {period.name} is missing, or was closed anew"
            )
        before = period.digest
    return [_with_words(period, folder / f"{period.name}.items.csv") for period in found]


def _read(path: Path) -> ClosedPeriod:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        period = ClosedPeriod(**document)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise UsageError(f"{path} is no closed period") from None
    if period.version != VERSION or digest_of(period) != period.digest:
        raise UsageError(f"{path} was changed since the period was closed")
    return period


def _with_words(period: ClosedPeriod, path: Path) -> ClosedPeriod:
    """The items with owner, comment and resolution of the CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = {
                tuple(undefused(row[name] or "") for name in NAMED_BY): row
                for row in csv.DictReader(file)
            }
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (KeyError, csv.Error, UnicodeDecodeError):
        raise UsageError(f"{path} has lost a column of {', '.join(NAMED_BY)}") from None
    items = []
    for item in period.items:
        row = rows.get(tuple(item[name] for name in NAMED_BY), {})
        items.append(item | {name: (row.get(name) or "").strip() for name in BY_PEOPLE})
    return replace(period, items=items)


def require_next(
    closed: Sequence[ClosedPeriod], start_ns: int, end_ns: int, *, now_ns: int
) -> None:
    """Refuse to close a period that is closed, is not over, or leaves a gap.

    Raises:
        UsageError: it says where the next period begins.
    """
    if not end_ns:
        raise UsageError("--close needs --to: the first moment after the period")
    if end_ns > now_ns:
        raise UsageError(f"--close: the period to {iso_time(end_ns)} is not over")
    if closed and start_ns != closed[-1].end_ns:
        raise UsageError(
            f"--close: the last closed period ends at {iso_time(closed[-1].end_ns)}; the next one"
            " begins --from there"
        )


def write_period(folder: Path, period: ClosedPeriod, shown: Iterable[Item]) -> Path:
    """Write both files; the JSON file last, because it says that the period is closed.

    shown: the items as people read them, in the order of the period's.
    """
    path = folder / f"{period.name}.json"
    table = folder / f"{period.name}.items.csv"
    whole = replace(period, digest=digest_of(period))
    try:
        with table.open("w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(file, (*NAMED_BY, *SHOWN, *BY_PEOPLE), extrasaction="ignore")
            out.writeheader()
            out.writerows(
                item | {name: defused(str(item[name])) for name in (*NAMED_BY, "detail")}
                for item in shown
            )
        draft = path.with_name(f".{path.name}.part")
        draft.write_text(json.dumps(asdict(whole), indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    return path
