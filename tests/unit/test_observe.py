"""Metrics, logs and health: what they show, what they keep quiet about, and what they cost."""

from __future__ import annotations

import io
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from worker.core.errors import UsageError
from worker.observe.catalogue import AGES, CATALOGUE, PREFIX, MetricSpec
from worker.observe.health import Health, HealthServer
from worker.observe.histogram import BatchHistogram
from worker.observe.logs import REDACTED, Format, configure_logging
from worker.observe.metrics import Metrics
from worker.observe.report import BatchReport

NOW_MS = 1_763_720_000_000

REPORT = BatchReport(
    events=5,
    legs=8,
    outcomes={("stripe.payments", "posted"): 4, ("stripe.payments", "dead"): 1},
    committed_ms=NOW_MS,
    reasons={("dead", "bad_amount"): 1},
    transfers={("usd", "charge"): 6, ("eur", "p2p"): 2},
    stage_seconds={"decode": 0.25, "post": 0.5},
    timestamps_ms=[NOW_MS - 30, NOW_MS - 4000],
    ledger_requests={"create_transfers": 1},
    ledger_retries=2,
)


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(PREFIX + name, labels)


# Metrics


def test_a_report_is_counted() -> None:
    """Every figure of a batch's report is in the metrics, under the labels of the catalogue."""
    metrics = Metrics()
    metrics.batch(REPORT)
    metrics.batch(REPORT)
    payments = {"topic": "stripe.payments"}
    assert sample(metrics, "outcomes_total", outcome="posted", **payments) == 8
    assert sample(metrics, "outcomes_total", outcome="dead", **payments) == 2
    assert sample(metrics, "outcome_reasons_total", outcome="dead", reason="bad_amount") == 2
    assert sample(metrics, "transfers_posted_total", ledger="usd", transaction="charge") == 12
    assert sample(metrics, "batch_events_sum") == 10
    assert sample(metrics, "batch_legs_sum") == 16
    assert sample(metrics, "stage_seconds_sum", stage="decode") == 0.5
    assert sample(metrics, "stage_seconds_count", stage="commit") == 0
    assert sample(metrics, "ledger_requests_total", operation="create_transfers") == 2
    assert sample(metrics, "ledger_retries_total") == 4
    assert sample(metrics, "end_to_end_seconds_bucket", le="0.05") == 2
    assert sample(metrics, "end_to_end_seconds_count") == 4
    assert sample(metrics, "end_to_end_seconds_sum") == pytest.approx(8.06)


def test_the_loop_is_counted() -> None:
    """What the loop tells beside batches is in the metrics."""
    metrics = Metrics()
    metrics.consumed({"stripe.payments": 7})
    metrics.abort(in_a_row=1)
    metrics.alert(2)
    metrics.parked({"ledger.events.parked.1": 12.5})
    metrics.rebalance("lost")
    metrics.ledger_unavailable(1.5)
    metrics.ledger_waiting(lambda: 0.25)
    metrics.build(version="1.0", rulebook="ab")
    assert sample(metrics, "records_consumed_total", topic="stripe.payments") == 7
    assert sample(metrics, "transaction_aborts_total") == 1
    assert sample(metrics, "alerts_total") == 2
    assert sample(metrics, "parked_age_seconds", topic="ledger.events.parked.1") == 12.5
    assert sample(metrics, "rebalances_total", kind="lost") == 1
    assert sample(metrics, "ledger_unavailable_seconds_total") == 1.5
    assert sample(metrics, "ledger_waiting_seconds") == 0.25
    assert sample(metrics, "build_info", version="1.0", rulebook="ab") == 1


def test_lag_leaves_with_its_partition() -> None:
    """A partition that moved away shows no lag any more."""
    metrics = Metrics()
    metrics.lag({("stripe.payments", 0): 5, ("stripe.payments", 1): 6})
    metrics.lag({("stripe.payments", 1): 7})
    assert sample(metrics, "lag_records", topic="stripe.payments", partition="0") is None
    assert sample(metrics, "lag_records", topic="stripe.payments", partition="1") == 7


def test_the_catalogue_is_complete() -> None:
    """What a scrape shows is what the catalogue declares, and the process's own figures."""
    metrics = Metrics()
    metrics.lag({("stripe.payments", 0): 5})
    shown = {
        family.name
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        if not family.name.endswith("_created")
    }
    declared = {PREFIX + one.name for one in CATALOGUE}
    assert {name for name in shown if not name.startswith("process_")} == declared


def test_the_batch_histogram_agrees_with_the_library() -> None:
    """A batch counted at once gives the buckets that prometheus_client counts one by one."""
    ages_ms = [0, 4, 5, 6, 49, 50, 51, 999, 1000, 1001, 3_599_999, 3_600_000, 9_999_999, -7]
    declared = MetricSpec("histogram", "ages_seconds", "Ages.", (), AGES)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batch = BatchHistogram(declared)
    ours.register(batch)
    batch.since([NOW_MS - age for age in ages_ms], now_ms=NOW_MS)
    batch.since([], now_ms=NOW_MS)
    single = Histogram(PREFIX + declared.name, declared.meaning, buckets=AGES, registry=theirs)
    for age in ages_ms:
        single.observe(max(age, 0) / 1000)
    for bound in [*map(str, AGES), "+Inf"]:
        name, labels = f"{PREFIX}ages_seconds_bucket", {"le": bound}
        assert ours.get_sample_value(name, labels) == theirs.get_sample_value(name, labels), bound
    name = f"{PREFIX}ages_seconds_sum"
    assert ours.get_sample_value(name) == pytest.approx(theirs.get_sample_value(name))


# Logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged at info and above, as JSON lines."""
    stream = io.StringIO()
    handlers = logging.getLogger().handlers[:]
    configure_logging(level="info", format="json", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.basicConfig(handlers=handlers, force=True)


def logged(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_a_json_object(lines: io.StringIO) -> None:
    """Each event is one JSON line with its name, level, UTC time and fields; debug is left out."""
    structlog.get_logger().debug("detail")
    structlog.get_logger().info("batch", events=3, partition=1)
    [line] = logged(lines)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "batch", "level": "info", "events": 3, "partition": 1}


@pytest.mark.parametrize(
    ("key", "given", "written"),
    [
        ("value",                "4242",                        REDACTED),
        ("payload",              {"a": 1},                      REDACTED),
        ("request_body",         "4242",                        REDACTED),
        ("headers",              [("a", b"4242")],              REDACTED),
        ("sasl.password",        "4242",                        REDACTED),
        ("KAFKA_SASL_MECHANISM", "4242",                        REDACTED),
        ("settings",             {"sasl": {"password": "4242"}}, {"sasl": REDACTED}),
        ("nested",               [{"token": "4242", "n": 1}],   [{"token": REDACTED, "n": 1}]),
        ("found",                b"4242",                       "[4 bytes]"),
        ("reason",               "bad_amount",                  "bad_amount"),
        ("offset",               42,                            42),
    ],
)  # fmt: skip
def test_payloads_and_secrets_are_left_out(
    key: str, given: object, written: object, lines: io.StringIO
) -> None:
    """A field named as a payload or a secret is never written, nor are bytes, however deep."""
    structlog.get_logger().info("event", **{key: given})
    [line] = logged(lines)
    assert line[key] == written


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize(
    ("format_", "stream", "starts"),
    [
        ("auto", Terminal, ""),
        ("auto", io.StringIO, "{"),
        ("console", io.StringIO, ""),
        ("json", Terminal, "{"),
    ],
)
def test_short_lines_are_for_terminals(
    format_: Format, stream: type[io.StringIO], starts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing else is set, a terminal gets short lines and everything else JSON."""
    monkeypatch.setenv("NO_COLOR", "1")
    out = stream()
    configure_logging(level="info", format=format_, stream=out)
    structlog.get_logger().info(
        "rebalanced", gained=["a.b/0", "a.b/2", "a.b/1", "c/7"], lost=[], why=["x"]
    )
    said = out.getvalue()
    assert said.startswith(starts)
    if not starts:
        assert said.rstrip().endswith("gained='a.b/0-2 c/7' why=x")
        assert "lost" not in said
        assert "\x1b" not in said


def test_the_libraries_log_the_same_way(lines: io.StringIO) -> None:
    """A line of the standard library's logging comes out as JSON too, its exception with it."""
    gone = OSError("gone")
    logging.getLogger("library").error("it %s", "failed", exc_info=gone)
    [line] = logged(lines)
    assert (line["event"], line["level"], line["logger"]) == ("it failed", "error", "library")
    assert "OSError: gone" in str(line["exception"])


# Health


class FakeClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_library_that_repeats_itself_is_heard_now_and_then(lines: io.StringIO) -> None:
    """What differs in numbers only is written every ten seconds, with how often it was said."""
    at = [100.0]
    configure_logging(level="info", format="json", stream=lines, now=lambda: at[0])
    library = logging.getLogger("library")
    for number in range(5):
        library.warning("peer %d refused", number)
    library.warning("something else")
    at[0] += 10
    library.warning("peer 9 refused")
    written = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(one["event"], one.get("repeated")) for one in written] == [
        ("peer 0 refused", None),
        ("something else", None),
        ("peer 9 refused", 4),
    ]


def test_live_while_the_loop_turns() -> None:
    """The worker is live as long as its loop has turned within the limit, and again after it."""
    clock = FakeClock()
    health = Health(deadline_seconds=10, heartbeat_seconds_max=30, now=clock)
    clock.seconds += 30
    assert health.live().ok
    clock.seconds += 1
    assert not health.live().ok
    health.beat()
    assert health.live().ok


@pytest.mark.parametrize(
    ("assigned", "ledger_seconds", "kafka_seconds", "ready"),
    [
        (True,  0.0,  0.0,  True),
        (True,  9.9,  9.9,  True),
        (True,  10.0, 0.0,  False),
        (True,  0.0,  10.0, False),
        (False, 0.0,  0.0,  False),
    ],
)  # fmt: skip
def test_ready_when_assigned_and_answered(
    *, assigned: bool, ledger_seconds: float, kafka_seconds: float, ready: bool
) -> None:
    """Ready means in the group, and ledger and Kafka answer within the deadline of 10 s."""
    health = Health(deadline_seconds=10)
    health.assigned = assigned
    health.ledger_waiting_seconds = lambda: ledger_seconds
    health.kafka_waiting_seconds = lambda: kafka_seconds
    assert health.ready().ok is ready


def test_not_ready_while_the_registry_is_waited_for() -> None:
    """Records that wait for their schemas beyond the deadline show in /readyz, with how long."""
    health = Health(deadline_seconds=10)
    health.assigned = True
    assert health.ready().ok
    health.registry_waiting_seconds = lambda: 10.5
    told = health.ready()
    assert (told.ok, told.fields["registry_waiting_seconds"]) == (False, 10.5)
    assert health.live().ok


@pytest.fixture
def health() -> Health:
    return Health(deadline_seconds=10)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    """A server on a free port of the loopback."""
    metrics = Metrics()
    metrics.consumed({"stripe.payments": 7})
    server = HealthServer(health=health, registry=metrics.registry, host="127.0.0.1", port=0)
    yield server
    server.close()


def get(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str]:
    address = f"http://127.0.0.1:{server.port}{path}"
    request = urllib.request.Request(address, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_probes_answer(server: HealthServer, health: Health) -> None:
    """/livez and /readyz answer 200 or 503, with the figures behind it as JSON."""
    assert get(server, "/livez")[0] == 200
    status, body = get(server, "/readyz")
    assert (status, json.loads(body)["assigned"]) == (503, False)
    health.assigned = True
    assert get(server, "/readyz")[0] == 200
    health.ledger_waiting_seconds = lambda: 11.0
    status, body = get(server, "/readyz")
    assert (status, json.loads(body)["ledger_waiting_seconds"]) == (503, 11.0)
    assert get(server, "/livez")[0] == 200


def test_the_metrics_are_scraped(server: HealthServer) -> None:
    """/metrics is Prometheus text; HEAD has no body; other paths are 404, other methods 501."""
    status, body = get(server, "/metrics?x=1")
    assert status == 200
    assert 'ledger_worker_records_consumed_total{topic="stripe.payments"} 7.0' in body
    assert get(server, "/metrics", "HEAD") == (200, "")
    assert get(server, "/secrets")[0] == 404
    assert get(server, "/livez", "POST")[0] == 501


def test_a_taken_port_is_a_usage_error(server: HealthServer, health: Health) -> None:
    """A port that somebody listens on stops the start with a sentence that says what to set."""
    with pytest.raises(UsageError, match="set LEDGER_WORKER_HTTP__PORT"):
        HealthServer(
            health=health, registry=CollectorRegistry(), host="127.0.0.1", port=server.port
        )
