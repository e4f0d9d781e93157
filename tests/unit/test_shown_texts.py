"""What is shown of texts from outside: no order to a terminal, no formula, no setting's value."""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from pathlib import Path

import duckdb
import pytest
import structlog

from worker.core.errors import UsageError
from worker.core.visible import defused, undefused, visible, without_credentials
from worker.jobs.reconcile.outputs import DEFUSED
from worker.kafka.connection import KafkaConnection
from worker.ledger.open import resolve
from worker.observe.logs import configure_logging
from worker.rulebooks.load import load
from worker.rulebooks.yaml_source import SHOWN_MAX

HOSTILE = "\x1b]0;owned\x07\x9b31m\r\n\x7f\u202e"
SECRET = "s3cret-value"  # noqa: S105 - it is none


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_log_line_holds_a_control_character(form: str) -> None:
    """Of a field, its name, a nested one, the event, or a library's own line."""
    out = io.StringIO()
    configure_logging(level="info", format=form, stream=out)  # type: ignore[arg-type]
    log = structlog.get_logger()
    event = f"x{HOSTILE}"
    log.warning(event, topic=HOSTILE, nested={HOSTILE: [HOSTILE]})
    logging.getLogger("library").warning("said %s", HOSTILE)
    lines = out.getvalue().split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert visible(HOSTILE) in lines[0].replace("\\\\", "\\")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("127.0.0.1:3000", "127.0.0.1:3000"),
        ("user:pass@host:3000,u:p@ss@[::1]:1", "host:3000,[::1]:1"),
        ("postgresql://user:pass@host/db failed", "postgresql://host/db failed"),
        ("sasl_ssl://me:you@b1:9092/bootstrap: refused", "sasl_ssl://b1:9092/bootstrap: refused"),
    ],
)
def test_an_address_is_shown_without_its_credentials(text: str, shown: str) -> None:
    """Wherever one may stand in a sentence."""
    assert without_credentials(text) == shown


@pytest.mark.parametrize("address", [f"me:{SECRET}@nowhere.invalid:3000", f"me:{SECRET}@x"])
def test_a_wrong_address_of_the_ledger_is_told_without_them(address: str) -> None:
    """A person may have written one as for other servers."""
    with pytest.raises(UsageError) as refused:
        resolve(address)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("client", "named"),
    [
        ({"security.protocol": SECRET}, "security.protocol"),
        ({"nonsense.setting": SECRET}, "nonsense.setting"),
        ({"linger.ms": SECRET}, "queue.buffering.max.ms"),
        ({"linger.ms": 99_123_456_789}, "queue.buffering.max.ms"),
        ({"ssl.key.pem": SECRET, "security.protocol": "ssl"}, "ssl.key.pem"),
        ({"ssl.ca.location": SECRET, "security.protocol": "ssl"}, "ssl.ca.location"),
    ],
)
def test_no_message_shows_a_value_of_kafka_client(client: dict[str, object], named: str) -> None:
    """Librdkafka's own words quote it."""
    with pytest.raises(UsageError) as refused:
        KafkaConnection("localhost:9", client).producer({})
    assert named in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "99" not in str(refused.value)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_begins_a_formula_is_defused(first: str, tmp_path: Path) -> None:
    """A spreadsheet would run it; every other text stays as it is."""
    database, path = duckdb.connect(), tmp_path / "x.csv"
    cells = [f"{first}cmd|' /C calc'!A0", "evt_1", "", "a=b"]
    database.execute("CREATE TABLE texts (t VARCHAR)")
    database.executemany("INSERT INTO texts VALUES (?)", [[cell] for cell in cells])
    defused = f"SELECT * REPLACE ({DEFUSED.format('t')}) FROM texts"  # noqa: S608 - ours
    database.execute(f"COPY ({defused}) TO '{path}' (FORMAT csv, HEADER)")
    with path.open(newline="") as file:
        found = [row["t"] for row in csv.DictReader(file)]
    assert found == [f"'{cells[0]}", *cells[1:]]


def test_many_mistakes_of_a_rulebook_are_told_soon_and_in_part(tmp_path: Path) -> None:
    """The first of them, and how many more: a file of garbage is no place to wait."""
    path = tmp_path / "rules.yaml"
    times = []
    for count in (2_000, 20_000):
        rules = "\n".join(f"  a{number}: {{code: x, type: nothing}}" for number in range(count))
        path.write_text(f"version: 1\naccounts:\n{rules}\n")
        began = time.process_time()
        with pytest.raises(UsageError) as refused:
            load(path)
        times.append(time.process_time() - began)
        lines = str(refused.value).split("\n")
        assert len(lines) == SHOWN_MAX + 1
        assert lines[0].startswith(f"{path}:1:")
        assert lines[-1].endswith("more mistakes")
    assert times[1] < 30 * times[0]


def test_json_says_the_same() -> None:
    """What is escaped in a result is the same text to a program."""
    from worker.jobs.text_tables import json_text  # noqa: PLC0415 - beside what it is compared with

    assert json.loads(json_text({"a": HOSTILE})) == {"a": HOSTILE}


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_defused_cell_is_read_as_it_was(first: str) -> None:
    """With its apostrophe, and without it where a person took it away."""
    cell = f"{first}cmd()"
    assert defused(cell) == f"'{cell}"
    assert undefused(defused(cell)) == undefused(cell) == cell
    for plain in ("", "evt_1", "'quoted'", "a=b"):
        assert defused(plain) == undefused(plain) == plain
