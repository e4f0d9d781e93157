"""The export: every account and transfer in numbered files, with a manifest.

A part is in the manifest only when it is whole and on disk, so that an interrupted export resumes
without a gap. The cut is fixed when the export begins: the newest transfer of that moment.

A part's digest is SHA-256 over its rows as the ledger's 128-byte records, the same in every format;
the export's digest is SHA-256 over the parts' digests.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from worker.core.errors import UsageError
from worker.core.ports import newest_timestamp
from worker.core.wire import pack_account, pack_transfer
from worker.jobs.batched import batched
from worker.jobs.reports.rows import ExportRow, account_fields, transfer_fields
from worker.ledger.books import NamedLedger
from worker.ledger.scan import all_accounts, all_transfers

MANIFEST: Final = "manifest.json"
VERSION: Final = 1
ExportFormat = Literal["parquet", "avro"]
WritePart = Callable[[Path, str, list[ExportRow]], None]
"""Takes the file, `accounts` or `transfers`, and the rows."""


@dataclass(slots=True)
class Export:
    """One export in a folder.

    manifest: as it is on disk.
    """

    folder: Path
    manifest: dict[str, Any]
    write_part: WritePart

    def save(self) -> None:
        """Replace the manifest in one step."""
        draft = self.folder / f"{MANIFEST}.part"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(self.manifest, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / MANIFEST)
        sync_folder(self.folder)

    def add(self, kind: str, rows: list[ExportRow], packed: bytes, last: int) -> None:
        """Write one part, then name it in the manifest. last: its newest timestamp."""
        parts = self.manifest[kind]["parts"]
        name = f"{kind}-{len(parts):06d}.{self.manifest['format']}"
        draft = self.folder / f"{name}.part"
        self.write_part(draft, kind, rows)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(self.folder / name)
        digest = hashlib.sha256(packed).hexdigest()
        parts.append({"file": name, "rows": len(rows), "last": str(last), "digest": digest})
        self.save()

    def next_timestamp(self, kind: str) -> int:
        """Where the next part begins."""
        parts = self.manifest[kind]["parts"]
        return int(parts[-1]["last"]) + 1 if parts else 0


def open_export(
    folder: Path,
    books: NamedLedger,
    *,
    encoding: ExportFormat,
    part_rows: int,
    write_part: WritePart,
) -> Export:
    """A new export in an empty folder, or the one that was begun there.

    Raises:
        UsageError: the folder holds something else, or an export with other settings or of
        another ledger.
    """
    found = _read_manifest(folder)
    cluster = _first_account(books)
    if found is None:
        manifest: dict[str, Any] = {
            "version": VERSION,
            "format": encoding,
            "part_rows": part_rows,
            "first_account": cluster,
            "cut": str(newest_timestamp(books.ledger)),
            "transfers": {"parts": []},
            "accounts": {"parts": []},
            "complete": False,
        }
        export = Export(folder, manifest, write_part)
        export.save()
        return export
    wanted = {"format": encoding, "part_rows": part_rows, "first_account": cluster}
    for name, value in wanted.items():
        if found.get(name) != value:
            raise UsageError(
                f"{folder / MANIFEST} is an export with {name} {found.get(name)!r}, not {value!r}:"
                " choose another folder"
            )
    return Export(folder, found, write_part)


def _first_account(books: NamedLedger) -> str:
    """What identifies this ledger: its oldest account and when it was created."""
    first = next(iter(all_accounts(books.ledger)), None)
    return f"{first.id:032x}@{first.timestamp}" if first else ""


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / MANIFEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            if any(not entry.name.endswith(".part") for entry in folder.iterdir()):
                raise UsageError(f"{folder} is not empty, and holds no export")
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path} is damaged: it is no JSON") from None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise UsageError(f"{path} is no manifest of this version")
    _require_parts(folder, found)
    return found


def _require_parts(folder: Path, manifest: dict[str, Any]) -> None:
    for kind in ("transfers", "accounts"):
        for part in manifest[kind]["parts"]:
            if not (folder / part["file"]).is_file():
                raise UsageError(f"{folder / part['file']} is missing, and the manifest names it")


def finish(
    export: Export, books: NamedLedger, *, written: Callable[[str, int], None]
) -> dict[str, Any]:
    """Write what is missing, and return the manifest. written: gets each part's kind and rows."""
    if export.manifest["complete"]:
        return export.manifest
    cut = int(export.manifest["cut"])
    for page in batched(
        all_transfers(books.ledger, start_ns=export.next_timestamp("transfers"), end_ns=cut + 1),
        export.manifest["part_rows"],
    ):
        rows = transfer_fields(books, page)
        export.add("transfers", rows, b"".join(map(pack_transfer, page)), page[-1].timestamp)
        written("transfers", len(page))
    for accounts in batched(
        all_accounts(books.ledger, start_ns=export.next_timestamp("accounts")),
        export.manifest["part_rows"],
    ):
        rows = account_fields(books, accounts)
        packed = b"".join(map(pack_account, accounts))
        export.add("accounts", rows, packed, accounts[-1].timestamp)
        written("accounts", len(accounts))
    _close(export, moved=newest_timestamp(books.ledger) != cut)
    return export.manifest


def _close(export: Export, *, moved: bool) -> None:
    """The totals; `moved`: the ledger went on, so balances are later than the cut."""
    manifest = export.manifest
    for kind in ("transfers", "accounts"):
        parts = manifest[kind]["parts"]
        manifest[kind]["rows"] = sum(part["rows"] for part in parts)
        manifest[kind]["digest"] = digest_of([part["digest"] for part in parts])
    manifest["digest"] = digest_of([manifest[k]["digest"] for k in ("transfers", "accounts")])
    manifest["balances_are_of_the_cut"] = not moved
    manifest["complete"] = True
    export.save()


def digest_of(digests: Sequence[str]) -> str:
    """SHA-256 over digests in hex, one a line."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
