"""Parts of a reconciliation are joined when all are there and belong together, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.commands.cli import main
from worker.config.settings import PACKAGED_RULEBOOK, Settings
from worker.jobs.duckdb_rows import columns_sql, open_database
from worker.jobs.reconcile.shards import READ, Manifest, _about, _save
from worker.jobs.reconcile.tables import TABLES
from worker.rulebooks.load import load

PARTS = 3


def part_of(number: int, of: int = PARTS, **other: Any) -> Manifest:
    """Writes a part that has read nothing, and gives what it says of itself."""
    about = _about(Settings(), load(PACKAGED_RULEBOOK).digest) | other
    manifest = Manifest(number, of, 0, 0, 0, [], {}, [], about)
    with open_database() as database:
        for name in READ:
            database.execute(f"CREATE TABLE {name} ({columns_sql(TABLES[name])})")
        _save(database, manifest, Path(f"parts/reconcile-{number}-of-{of}.part"))
    return manifest


def missing(folder: Path) -> None:
    (folder / "reconcile-1-of-3.part").unlink()


def twice(folder: Path) -> None:
    (folder / "again.part").write_bytes((folder / "reconcile-1-of-3.part").read_bytes())


def damaged(folder: Path) -> None:
    (folder / "reconcile-1-of-3.part").write_bytes(b"not a part")


def of_another(folder: Path) -> None:
    assert folder.is_dir()
    part_of(0, of=4)


def of_other_settings(folder: Path) -> None:
    assert folder.is_dir()
    part_of(0, group="another")


def untouched(folder: Path) -> None:
    assert folder.is_dir()


def nothing(folder: Path) -> None:
    for one in folder.iterdir():
        one.unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing,    "the part 1/3 is missing"),
        (twice,      "comes twice"),
        (damaged,    "is no part of a reconciliation, or damaged"),
        (of_another, "is of another reconciliation"),
        (of_other_settings, "was read with other settings"),
        (untouched,  "there is no event to compare with"),
        (nothing,    "there is no file *.part"),
    ],
)  # fmt: skip
def test_parts_that_are_not_all_there(
    spoil: Callable[[Path], None],
    said: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2 and one sentence; no report of half the topics."""
    (here / "parts").mkdir()
    for number in range(PARTS):
        part_of(number)
    spoil(Path("parts"))
    capsys.readouterr()
    assert main(["reconcile", "--merge", "parts", "--report", "out.html"]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert (out, err.count("\n")) == ("", 1)
    assert not Path("out.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--partitions", "0/2"],                                      "go together"),
        (["--part-to", "parts"],                                       "go together"),
        (["--partitions", "2/2", "--part-to", "parts"],                "is no part"),
        (["--partitions", "0/2", "--part-to", "absent"],               "there is no such folder"),
        (["--partitions", "0/2", "--part-to", ".", "--report", "a.csv"], "give it to --merge"),
        (["--partitions", "0/2", "--part-to", ".", "--from-files", "a"], "topics in Kafka"),
        (["--merge", "parts", "--from", "2026-01-01"],                 "the parts say it"),
        (["--merge", "absent.part"],                                   "there is no file absent"),
    ],
)  # fmt: skip
def test_bad_usage(
    arguments: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 and one sentence, before anything is read."""
    (here / "parts").mkdir()
    assert main(["reconcile", *arguments]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert (out, err.count("\n")) == ("", 1)
