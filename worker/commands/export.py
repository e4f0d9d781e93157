"""`export`: all accounts and transfers as Parquet or Avro files, with digests."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from worker.commands.options import add_json, positive
from worker.config.settings import load_settings
from worker.core.iso_times import iso_time
from worker.core.plural import count_of
from worker.jobs.export.files import write_avro, write_parquet
from worker.jobs.export.run import MANIFEST, finish, open_export
from worker.jobs.text_tables import write_result
from worker.ledger.books import open_named_ledger

INTERRUPTED: Final = "the files written so far stay; the same command goes on after them"

PART_ROWS: Final = 500_000
WRITERS: Final = {"parquet": write_parquet, "avro": write_avro}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the files go")
    parser.add_argument(
        "--format",
        choices=sorted(WRITERS),
        default="parquet",
        help="of the files (default parquet)",
    )
    parser.add_argument(
        "--part-rows",
        type=positive,
        default=PART_ROWS,
        metavar="N",
        help=f"rows of one file (default {PART_ROWS})",
    )
    add_json(parser, "manifest")


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
    write_result(manifest, _text(arguments.folder, manifest), as_json=arguments.json)
    return 0


def _show(kind: str, rows: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{rows:,} {kind} written\n")


def _text(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    for noun in ("transfer", "account"):
        found = manifest[f"{noun}s"]
        rows, files = count_of(found["rows"], noun), count_of(len(found["parts"]), "file")
        yield f"{rows} in {files}, digest {found['digest']}"
    yield f"up to {iso_time(int(manifest['cut']))}; digest {manifest['digest']}"
    if not manifest["balances_are_of_the_cut"]:
        yield "the ledger went on meanwhile: balances are later than the transfers"
    yield f"{folder / MANIFEST} names every file"
