"""What the cache needs of a table, what it lacks, and the statements that would add it.

Nothing that exists is changed, and nothing is added to a table whose rows the cache would not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.core.errors import UsageError
from worker.jobs.sync.targets import SyncTarget

KEY_TYPES: Final = frozenset({"text", "character varying", "uuid", "bigint", "integer"})
TEXT_TYPES: Final = frozenset({"text", "character varying"})
WHOLE_TYPES: Final = frozenset({"bigint", "integer"})
BALANCE_TYPES: Final = frozenset({"numeric", *WHOLE_TYPES, *TEXT_TYPES})
TIME_TYPES: Final = frozenset({"numeric", "bigint"})

TIME_TYPE: Final = "bigint"


@dataclass(frozen=True, slots=True)
class Table:
    """Facts of a table.

    columns: name to type as SQL writes it, such as `numeric(12,2)`.
    unique: sets of columns of which no two rows have the same.
    kind: what it is where it is no table, such as `view`; empty for a table.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    unique: Sequence[frozenset[str]] = ()
    kind: str = ""

    @property
    def exists(self) -> bool:
        """A table without columns could not be used either."""
        return bool(self.columns)

    def type_of(self, column: str) -> str:
        """Its type without length or places; empty where there is no such column."""
        return self.columns.get(column, "").partition("(")[0]


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """Something that is missing, in words, and the statement that makes it."""

    what: str
    statement: str


def schema_problems(
    targets: Sequence[SyncTarget], table: Table, *, add_rows: bool
) -> list[SchemaProblem]:
    """What one table lacks for these targets, all of this table.

    Raises:
        UsageError: the table is there, and cannot be what the cache needs.
    """
    name, row = targets[0].table, _row(targets[0])
    if not table.exists:
        return [_new_table(targets)]
    if table.kind:
        raise UsageError(f"{name} is a {table.kind}: the cache writes tables only")
    _refuse_wrong_types(targets, table)
    if len(row) > 1 and any(unique <= {targets[0].key} for unique in table.unique):
        raise UsageError(
            f"the table {name} has one row for each {targets[0].key}, and the rulebook several"
            " currencies: set sync.currency to one of them, or give `sync_to` another table"
        )
    found = [
        SchemaProblem(
            f"the column {name}.{column}", f"ALTER TABLE {quoted(name)} ADD COLUMN {written}"
        )
        for column, written in _columns(targets).items()
        if column not in table.columns
    ]
    if add_rows and frozenset(row) not in table.unique:
        listed = ", ".join(map(quoted, row))
        found.append(
            SchemaProblem(
                f"a unique index on {name} ({', '.join(row)})",
                f"CREATE UNIQUE INDEX ON {quoted(name)} ({listed})",
            )
        )
    return found


def quoted(name: str) -> str:
    """A name as SQL takes it, letter for letter."""
    return '"' + name.replace('"', '""') + '"'


def _row(target: SyncTarget) -> list[str]:
    """The columns by which a row is found."""
    return [column for column in (target.key, target.currency) if column]


def _columns(targets: Sequence[SyncTarget]) -> dict[str, str]:
    """Every column that the cache uses, and its declaration."""
    kinds = dict.fromkeys(_row(targets[0]), "text")
    for target in targets:
        kinds |= {target.balance: f"numeric(39, {target.places})", target.time: TIME_TYPE}
    return {column: f"{quoted(column)} {kind}" for column, kind in kinds.items()}


def _new_table(targets: Sequence[SyncTarget]) -> SchemaProblem:
    name, key = targets[0].table, ", ".join(map(quoted, _row(targets[0])))
    declared = ", ".join(_columns(targets).values())
    return SchemaProblem(
        f"the table {name}", f"CREATE TABLE {quoted(name)} ({declared}, PRIMARY KEY ({key}))"
    )


def _refuse_wrong_types(targets: Sequence[SyncTarget], table: Table) -> None:
    wanted = {targets[0].key: KEY_TYPES}
    if targets[0].currency:
        wanted[targets[0].currency] = TEXT_TYPES
    for target in targets:
        wanted |= {target.balance: BALANCE_TYPES, target.time: TIME_TYPES}
    for column, kinds in wanted.items():
        kind = table.type_of(column)
        if kind and kind not in kinds:
            raise UsageError(
                f"the column {targets[0].table}.{column} is {kind}: the cache needs"
                f" {' or '.join(sorted(kinds))}"
            )
    for target in targets:
        _refuse_wrong_places(target, table)


def _refuse_wrong_places(target: SyncTarget, table: Table) -> None:
    """1230 in a column of two places would read as 1230.00, and 12.30 in one of none as 12."""
    kind = table.type_of(target.balance)
    places = _places(table.columns.get(target.balance, ""))
    if kind in WHOLE_TYPES:
        places = 0
    if places is None:
        return
    if places < target.places:
        raise UsageError(
            f"the column {target.text} is {table.columns[target.balance]}: in `major` units"
            f" (sync.units) a balance has {target.places} decimal places"
        )
    if places and not target.places:
        raise UsageError(
            f"the column {target.text} is {table.columns[target.balance]}, and balances are in"
            f' minor units: set sync.units to {{"{target.text}": "major"}}, or give the column'
            " no decimal places"
        )


def _places(declared: str) -> int | None:
    """Decimal places of `numeric(12,2)`; None where a type does not limit them."""
    kind, _, rest = declared.partition("(")
    if kind != "numeric" or not rest:
        return None
    return int(rest.rstrip(")").partition(",")[2] or 0)
