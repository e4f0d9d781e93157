"""Writes the parts of an export: Parquet by DuckDB, or Avro by fastavro, with the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fastavro import parse_schema, writer

from worker.jobs.duckdb_rows import columns_sql, open_database, quoted, stage_rows
from worker.jobs.reports.rows import COLUMNS, TEXT, ExportRow

DUCKDB_TYPES: Final = {"text": "VARCHAR", "number": "BIGINT"}


def write_avro(path: Path, kind: str, rows: list[ExportRow]) -> None:
    """One Avro container file."""
    with path.open("wb") as file:
        writer(file, _avro_schema(kind), rows, codec="deflate")


def _avro_schema(kind: str) -> Any:  # noqa: ANN401 - fastavro's schemas are untyped
    fields = [
        {"name": name, "type": "string" if form == TEXT else "long"}
        for name, form in COLUMNS[kind].items()
    ]
    return parse_schema({"type": "record", "name": f"ledger_{kind}", "fields": fields})


def write_parquet(path: Path, kind: str, rows: list[ExportRow]) -> None:
    """One Parquet file, compressed."""
    columns = {name: DUCKDB_TYPES[form] for name, form in COLUMNS[kind].items()}
    with open_database(path.parent) as database:
        database.execute(f"CREATE TABLE part ({columns_sql(columns)})")
        stage_rows(database, "part", columns, (row.values() for row in rows))
        database.execute(f"COPY part TO {quoted(str(path))} (FORMAT parquet, COMPRESSION zstd)")
