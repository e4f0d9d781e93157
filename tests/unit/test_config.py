"""Settings: defaults, variables over the file, secrets from files, and what is refused."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from worker.config.settings import PREFIX, Settings, load_settings, setting_keys, variable
from worker.config.settings_page import settings_page
from worker.core.errors import UsageError

PAGE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, toml: str = "", **variables: str) -> Settings:
    """The settings of a file and of variables, these without their prefix."""
    for name, text in variables.items():
        monkeypatch.setenv(PREFIX + name, text)
    path = Path("given.toml")
    path.write_text(toml, encoding="utf-8")
    return load_settings(path)


def refused(monkeypatch: pytest.MonkeyPatch, toml: str = "", **variables: str) -> str:
    with pytest.raises(UsageError) as error:
        load(monkeypatch, toml, **variables)
    return str(error.value)


def test_the_defaults_are_the_contract() -> None:
    """Without a file and variables, every setting has its documented default."""
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.kafka.group_id == "ledger-worker"
    assert settings.kafka.client == {}
    assert settings.ledger.addresses == "127.0.0.1:3000"
    assert settings.ledger.cluster_id == 0
    assert settings.ledger.deadline_seconds == 10
    assert settings.rulebook.name == "stripe-wallets.yaml"
    assert settings.topics.inputs == {
        "payments": "stripe.payments",
        "settlements": "stripe.settlements",
        "commands": "wallet.commands",
    }
    assert settings.topics.outbox == "ledger.transfers.posted"
    assert settings.topics.rejected == "ledger.events.rejected"
    assert settings.topics.dead == "ledger.events.dead"
    assert settings.topics.parked == "ledger.events.parked"
    assert settings.outbox.format == "json"
    assert settings.schema_registry.url == ""
    assert settings.http.port == 9464
    assert settings.events.livemode == "any"
    assert settings.events.account == ""


def test_the_transactional_id_names_group_host_and_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unless set, the transactional id is `<group>-<hostname>-<pid>` of the group that is set."""
    settings = load(monkeypatch, KAFKA__GROUP_ID="books")
    assert settings.kafka.transactional_id == f"books-{socket.gethostname()}-{os.getpid()}"


def test_variables_win_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable replaces the file's value, whole objects included, and leaves the others."""
    settings = load(
        monkeypatch,
        """
        [kafka]
        group_id = "from-file"
        bootstrap_servers = "kafka:9092"
        client = {"security.protocol" = "SSL", "fetch.min.bytes" = 5}
        """,
        KAFKA__GROUP_ID="from-variable",
        KAFKA__CLIENT='{"socket.keepalive.enable": true}',
    )
    assert settings.kafka.group_id == "from-variable"
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.kafka.client == {"socket.keepalive.enable": True}


def test_the_file_in_the_current_directory_is_read() -> None:
    """`./ledger-worker.toml` is read when no file is named."""
    Path("ledger-worker.toml").write_text("[http]\nport = 0\n", encoding="utf-8")
    assert load_settings().http.port == 0


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable leaves the default, as compose files and charts expect."""
    assert load(monkeypatch, LEDGER__ADDRESSES="").ledger.addresses == "127.0.0.1:3000"


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ('{"payments": "p.1", "commands": "c.1"}', {"payments": "p.1", "commands": "c.1"}),
        ('["p.1", "c.1"]',                         {"p.1": "p.1", "c.1": "c.1"}),
        ("p.1, c.1",                               {"p.1": "p.1", "c.1": "c.1"}),
        ("p.1",                                    {"p.1": "p.1"}),
    ],
)  # fmt: skip
def test_inputs_are_roles_or_a_list(
    text: str, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs are a JSON object of role to topic, or a list that makes each topic its own role."""
    assert load(monkeypatch, TOPICS__INPUTS=text).topics.inputs == inputs


def test_schema_ids_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON keys of schema ids become integers."""
    settings = load(monkeypatch, SCHEMA_REGISTRY__IDS='{"7": "posted_transfer"}')
    assert settings.schema_registry.ids == {7: "posted_transfer"}


def test_livemode_may_be_a_toml_boolean(monkeypatch: pytest.MonkeyPatch) -> None:
    """`livemode = true` in the file is the text `true`."""
    assert load(monkeypatch, "[events]\nlivemode = true\n").events.livemode == "true"


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with `_FILE`, or a key with `_file`, names a file that holds the value."""
    Path("client.json").write_text('{"sasl.password": "hunter2"}\n', encoding="utf-8")
    by_variable = load(monkeypatch, KAFKA__CLIENT_FILE="client.json")
    assert by_variable.kafka.client == {"sasl.password": "hunter2"}
    monkeypatch.delenv("LEDGER_WORKER_KAFKA__CLIENT_FILE")
    by_key = load(monkeypatch, '[kafka]\nclient_file = "client.json"\n')
    assert by_key.kafka.client == {"sasl.password": "hunter2"}
    assert "hunter2" not in repr(by_key)


REFUSED_VARIABLES = [
    ("KAFKA__GRUP_ID",           "x",                      "mean LEDGER_WORKER_KAFKA__GROUP_ID?"),
    ("HTTP_PORT",                "1",                      "mean LEDGER_WORKER_HTTP__PORT?"),
    ("KAFKA",                    "{}",                     "variable LEDGER_WORKER_KAFKA"),
    ("RULEBOOK_FILE",            "x",                      "variable LEDGER_WORKER_RULEBOOK_FILE"),
    ("KAFKA__HANG_SECONDS",      "59",                     "must be greater than or equal to 60"),
    ("KAFKA__CLIENT",            "{",                      "kafka.client (LEDGER_WORKER_KAFKA"),
    ("KAFKA__CLIENT",            "{",                      "__CLIENT): must be a JSON object"),
    ("KAFKA__CLIENT",            "[1]",                    "must be a valid dictionary"),
    ("KAFKA__CLIENT",            '{"a.b": [1]}',           "a.b must be text, an integer or"),
    ("KAFKA__CLIENT_FILE",       "nowhere",                "client_file names cannot be read: No"),
    ("HTTP__PORT",               "abc",                    "http.port (LEDGER_WORKER_HTTP__PORT)"),
    ("HTTP__PORT",               "65536",                  "must be less than or equal to 65535"),
    ("LEDGER__CLUSTER_ID",       "-1",                     "must be greater than or equal to 0"),
    ("LEDGER__CLUSTER_ID",       str(1 << 128),            "must be less than 3402823669"),
    ("LEDGER__DEADLINE_SECONDS", "nan",                    "must be a finite number"),
    ("LEDGER__DEADLINE_SECONDS", "0",                      "must be greater than 0"),
    ("LEDGER__ADDRESSES",        "embedded:",              "must name a file after `embedded:`"),
    ("LEDGER__ADDRESSES",        "embedded",               "needs the embedded broker"),
    ("TOPICS__INPUTS",           "{}",                     "should have at least 1 item"),
    ("TOPICS__INPUTS",           "{",                      "must be a JSON object"),
    ("TOPICS__INPUTS",           '{"a": 5}',               "topics.inputs.a (LEDGER_WORKER_TOPICS"),
    ("TOPICS__INPUTS",           '["x", ["y"]]',           "must be a valid string"),
    ("TOPICS__INPUTS",           '{"a": "x", "b": "x"}',   "must have a name of its own: x"),
    ("TOPICS__OUTBOX",           "a b",                    "must be a Kafka topic name"),
    ("TOPICS__DEAD",             "ledger.events.rejected", "must have a name of its own: ledger"),
    ("OUTBOX__FORMAT",           "xml",                    "must be 'json' or 'avro'"),
    ("EVENTS__LIVEMODE",         "yes",                    "must be 'any', 'true' or 'false'"),
    ("SCHEMA_REGISTRY__IDS",     '{"x": "y"}',             "must be a valid integer"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "says"), REFUSED_VARIABLES)
def test_wrong_variables_are_refused(
    name: str, text: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong variable stops the start with a sentence that names it."""
    assert says in refused(monkeypatch, **{name: text})


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[kafka]\ngrup_id = 'x'",            "kafka.grup_id; did you mean kafka.group_id?"),
        ("colour = 'red'",                    "unknown setting colour"),
        ("_env_file = 'x'",                   "unknown setting _env_file"),
        ("[kafka",                            "the settings file given.toml is not TOML: "),
        ("kafka = 1",                         "kafka: must be a valid dictionary"),
        ("[kafka]\nclient = {}\nclient_file = 'x'", "give client or client_file, not both"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused(toml: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with an unknown key or bad syntax stops the start with a sentence that names it."""
    assert says in refused(monkeypatch, toml)


def test_a_named_file_must_be_there() -> None:
    """A file that is named and missing stops the start."""
    with pytest.raises(UsageError, match=r"the settings file nowhere\.toml cannot be read"):
        load_settings(Path("nowhere.toml"))


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each problem is one line, and all of them come at once."""
    said = refused(monkeypatch, HTTP__PORT="x", LEDGER__CLUSTER_ID="y")
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"sasl.password": "hunter2"',
        '{"sasl.password": ["hunter2"]}',
        '{"sasl.password": {"hunter2": 1}}',
        '"hunter2"',
    ],
)
def test_no_message_shows_a_secret(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused client setting is named without its value."""
    assert "hunter2" not in refused(monkeypatch, KAFKA__CLIENT=text)


@pytest.mark.parametrize(
    ("broker", "ledger", "taken"),
    [
        ("embedded",       "embedded",            True),
        ("embedded",       "embedded:books.bin",  True),
        ("embedded",       "127.0.0.1:3000",      True),
        ("localhost:9092", "embedded:books.bin",  True),
        ("localhost:9092", "127.0.0.1:3000",      True),
        ("localhost:9092", "embedded",            False),
    ],
)  # fmt: skip
def test_an_in_memory_ledger_needs_the_embedded_broker(
    broker: str,
    ledger: str,
    taken: bool,  # noqa: FBT001 - the table's expectation
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a ledger that is lost with the process refuses a broker that is not."""
    variables = {"KAFKA__BOOTSTRAP_SERVERS": broker, "LEDGER__ADDRESSES": ledger}
    if taken:
        assert load(monkeypatch, **variables).ledger.addresses == ledger
    else:
        assert "embedded broker" in refused(monkeypatch, **variables)


def test_kubernetes_service_links_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service called ledger-worker puts variables into every pod; they are left alone."""
    links = {
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "9464",
        "SERVICE_PORT_HTTP": "9464",
        "PORT": "tcp://10.0.0.1:9464",
        "PORT_9464_TCP": "tcp://10.0.0.1:9464",
        "PORT_9464_TCP_PROTO": "tcp",
        "PORT_9464_TCP_PORT": "9464",
        "PORT_9464_TCP_ADDR": "10.0.0.1",
        "METRICS_SERVICE_HOST": "10.0.0.2",
    }
    assert load(monkeypatch, **links) == load(monkeypatch)


def test_settings_do_not_change() -> None:
    """Settings are frozen: what was checked at the start holds."""
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka.group_id = "other"


def test_the_debug_variable_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """LEDGER_WORKER_DEBUG, which the command line reads, is not an unknown variable."""
    assert load(monkeypatch, DEBUG="1").kafka.group_id == "ledger-worker"


def test_the_page_says_what_the_settings_are() -> None:
    """docs/configuration.md is what `make docs` writes, and every setting is explained in it."""
    assert PAGE.read_text(encoding="utf-8") == settings_page()
    for key in setting_keys():
        row = next(line for line in settings_page().splitlines() if f"`{variable(key)}`" in line)
        assert all(cell.strip() for cell in row.split(" | ")), row
    assert json.dumps(Settings().topics.inputs, separators=(",", ":")) in settings_page()
