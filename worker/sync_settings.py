"""Settings of the balance cache.

The invariant: no message ever shows the connection string, because it holds a password. Imports
the kinds of settings only.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from worker.setting_types import Section, Text, from_json


class SyncSettings(Section):
    """Where `sync` keeps its copy of balances, and how a row is found."""

    dsn: str = Field(default="", repr=False)
    """PostgreSQL's address as libpq takes it, `postgresql://user:password@host/database`; a
    secret: keep it in a file that `LEDGER_WORKER_SYNC__DSN_FILE` names."""

    group_id: str = Field(default="", json_schema_extra={"shown": "`<kafka.group_id>-sync`"})
    """The consumer group that follows the outbox."""

    key_columns: Annotated[dict[Text, Text], BeforeValidator(from_json)] = Field(default={})
    """A JSON object of table to the column that holds the family key; a table that is not named
    here has `id`."""

    time_suffix: Text = "_ledger_timestamp"
    """What the name of a balance column is followed by in the name of the column that says when
    the balance was true, in the ledger's nanoseconds."""

    currency: str = ""
    """Keep this currency only, one row per key; empty: every currency of the rulebook, and where
    there are several, one row per key and currency."""

    currency_column: Text = "currency"
    """The column that says a row's currency, where there are several."""

    add_rows: bool = True
    """Whether a key without a row gets one; `false` leaves its balance out."""

    deadline_seconds: float = Field(default=30, gt=0, le=240, allow_inf_nan=False)
    """Seconds of trying to reach PostgreSQL again, and that one statement may take, after which
    `sync` ends with 3."""
