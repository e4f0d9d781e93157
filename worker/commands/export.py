"""`export`: all accounts and transfers as files.

The invariant: it writes nothing to the ledger, and an export that says it is complete is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from worker.config.settings import load_settings
from worker.jobs.export.files import write_avro, write_parquet
from worker.jobs.export.run import MANIFEST, finish, open_export
from worker.jobs.times import iso_time
from worker.ledger.books import open_named_ledger

HELP: Final = "write all accounts and transfers to Parquet or Avro files, with a digest"

PART_ROWS: Final = 500_000
WRITERS: Final = {"parquet": write_parquet, "avro": write_avro}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the files go")
    parser.add_argument("--format", choices=sorted(WRITERS), default="parquet", help="of the files")
    parser.add_argument(
        "--part-rows", type=_positive, default=PART_ROWS, metavar="N", help="rows of one file"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Begin an export, or go on with the one in the folder."""
    with open_named_ledger(load_settings(arguments.config)) as books:
        export = open_export(
            arguments.folder,
            books,
            encoding=arguments.format,
            part_rows=arguments.part_rows,
            write_part=WRITERS[arguments.format],
        )
        manifest = finish(export, books, written=_show)
    if arguments.json:
        sys.stdout.write(json.dumps(manifest) + "\n")
    else:
        _print_text(arguments.folder, manifest)
    return 0


def _show(kind: str, rows: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{rows:,} {kind} written\n")


def _print_text(folder: Path, manifest: dict[str, Any]) -> None:
    for kind in ("transfers", "accounts"):
        found = manifest[kind]
        sys.stdout.write(
            f"{found['rows']:,} {kind} in {len(found['parts'])} files, digest {found['digest']}\n"
        )
    sys.stdout.write(f"up to {iso_time(int(manifest['cut']))}; digest {manifest['digest']}\n")
    if not manifest["balances_are_of_the_cut"]:
        sys.stdout.write("the ledger went on meanwhile: balances are later than the transfers\n")
    sys.stdout.write(f"{folder / MANIFEST} names every file\n")
