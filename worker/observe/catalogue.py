"""The catalogue of metrics: every name, label and unit that dashboards and alerts may use.

No label takes a value from an event, so the number of series is bounded by the configuration and
the rulebook. Names carry the prefix `ledger_worker_`; counters end in `_total` when scraped.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

PREFIX: Final = "ledger_worker_"

SIZES: Final = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
"""Buckets for things counted."""

SECONDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Buckets for a stage of one batch."""

AGES: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
)
"""Buckets for the way from topic to commit, a backlog's hour included."""


class MetricSpec(NamedTuple):
    """One metric; `buckets` are a histogram's upper bounds."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


CATALOGUE: Final = (
    # What came in, and what became of it. Their difference is what was read again.
    MetricSpec(
        "counter",
        "records_consumed",
        "Records read from Kafka, those read again after an abort included.",
        ("topic",),
    ),
    # Sums to one per offset below the committed one. Alert on conflict, dead and rejected.
    MetricSpec(
        "counter",
        "outcomes",
        "Records with a committed outcome: posted, redelivered, rejected, conflict, dead, parked,"
        " ignored or nothing_to_post.",
        ("topic", "outcome"),
    ),
    MetricSpec(
        "counter",
        "outcome_reasons",
        "Why events were rejected, dead-lettered or parked.",
        ("outcome", "reason"),
    ),
    MetricSpec(
        "counter",
        "alerts",
        "Postings that a person should look at: the log has the event and the sentence.",
    ),
    # What reached the books.
    MetricSpec(
        "counter",
        "transfers_posted",
        "Transfers announced on the outbox, by currency and rule.",
        ("ledger", "transaction"),
    ),
    # How the loop runs: full batches mean a backlog, small ones that latency comes first.
    MetricSpec("histogram", "batch_events", "Events per committed batch.", (), SIZES),
    MetricSpec("histogram", "batch_legs", "Transfers per committed batch.", (), SIZES),
    MetricSpec(
        "histogram",
        "stage_seconds",
        "Seconds that a batch spent in a stage; the stages of two batches overlap.",
        ("stage",),
        SECONDS,
    ),
    # What users feel. Old timestamps, as in a replay, end in the last bucket.
    MetricSpec(
        "histogram",
        "end_to_end_seconds",
        "Seconds from a record's timestamp to the commit of its outcome.",
        (),
        AGES,
    ),
    # How far behind. Each transaction's marker takes an offset, so lag rests at 1 or more.
    MetricSpec(
        "gauge",
        "lag_records",
        "High watermark less the next offset, for the partitions held.",
        ("topic", "partition"),
    ),
    # An outage is caught up with in the order of the records' timestamps. Alert on what is passed.
    MetricSpec(
        "gauge",
        "order_waiting_seconds",
        "How long records have been waiting for a partition that lags and may have older ones.",
    ),
    MetricSpec(
        "counter",
        "partitions_passed",
        "Partitions that lagged and brought nothing for batch.skew_limit_seconds: the others went"
        " on without them.",
        ("topic",),
    ),
    # Events that wait for a predecessor; past the sum of all delays they are given up.
    MetricSpec(
        "gauge",
        "parked_age_seconds",
        "How long the next event of a parked topic has been waiting since it first came; 0: none.",
        ("topic",),
    ),
    # The ledger. Waiting grows while it is away; unavailable adds up over all outages.
    MetricSpec("counter", "ledger_requests", "Requests that the ledger answered.", ("operation",)),
    MetricSpec(
        "counter",
        "ledger_retries",
        "Requests sent again in halves because the ledger takes fewer at once.",
    ),
    MetricSpec(
        "counter",
        "ledger_unavailable_seconds",
        "Seconds that requests to the ledger waited beyond the deadline.",
    ),
    MetricSpec(
        "gauge",
        "ledger_waiting_seconds",
        "How long the ledger's request under way has been waiting.",
    ),
    # The group. Aborts and rebalances are normal now and then, not all the time.
    MetricSpec(
        "counter", "transaction_aborts", "Kafka transactions that were aborted and read again."
    ),
    # Three, and the worker is not ready: what aborts so often for one reason does not pass.
    MetricSpec(
        "gauge",
        "transaction_aborts_repeated",
        "How many transactions in a row were aborted for the same reason; 0 after a commit.",
    ),
    MetricSpec(
        "counter",
        "rebalances",
        "Changes of the assignment: assigned, revoked, or lost with the session.",
        ("kind",),
    ),
    # For a chart, not for the books: a float, and as old as the last look.
    MetricSpec(
        "gauge",
        "account_balance",
        "What an account holds, in major units, positive on the side that it grows by; only the"
        " accounts that metrics.balances names.",
        ("account", "currency"),
    ),
    MetricSpec(
        "gauge",
        "build_info",
        "Always 1: which version runs under which rulebook.",
        ("version", "rulebook"),
    ),
)

SERVE_CATALOGUE: Final = (
    # The process of `serve` shows these, its build, and how long the ledger lets it wait.
    MetricSpec(
        "counter",
        "serve_requests",
        "Requests answered by `serve`, by route and status.",
        ("route", "status"),
    ),
    MetricSpec(
        "histogram",
        "serve_request_seconds",
        "Seconds from a whole request to its answer, by route.",
        ("route",),
        SECONDS,
    ),
    # Above 1 when readers share requests to the ledger: what makes many readers cheap.
    MetricSpec(
        "histogram",
        "serve_lookup_accounts",
        "Accounts that one request to the ledger asked for.",
        (),
        SIZES,
    ),
)
"""What `serve` shows. Routes and statuses are few, and none comes from a request."""

FEED_CATALOGUE: Final = (
    # The process of `feed webhooks` shows these.
    MetricSpec(
        "counter",
        "feed_webhooks",
        "Deliveries of Stripe's by status: 200 is in Kafka, 400 is not signed by Stripe, 499 was"
        " broken off by its sender, 503 comes again.",
        ("status",),
    ),
    MetricSpec(
        "histogram",
        "feed_webhook_seconds",
        "Seconds from a delivery's headers to its answer, Kafka's acknowledgement included.",
        (),
        SECONDS,
    ),
    MetricSpec(
        "counter",
        "feed_signature_failures",
        "Deliveries whose signature was missing, malformed, wrong or too_old.",
        ("reason",),
    ),
    MetricSpec(
        "counter",
        "feed_events",
        "Events written to Kafka, by Stripe's type; after the first few hundred types: other.",
        ("type",),
    ),
    MetricSpec(
        "counter",
        "feed_left_out",
        "Signed events that the rulebook ignores and that were left out.",
    ),
    # `feed settlements` and `feed backfill` show these, and feed_events.
    MetricSpec(
        "counter",
        "feed_requests",
        "Requests to Stripe's lists by what came of them: ok, rate_limited, unreachable, cut_off"
        " or the status.",
        ("list", "result"),
    ),
    MetricSpec(
        "counter",
        "feed_polls",
        "Looks at Stripe's balance transactions: whole, or failed on the way.",
        ("result",),
    ),
    # 0 in a feed that stands by, so that the one that reads is the one that is seen.
    MetricSpec(
        "gauge",
        "feed_poll_age_seconds",
        "Since the last whole look, or since it began to read; 0 in one that stands by.",
    ),
    MetricSpec(
        "gauge",
        "feed_newest_age_seconds",
        "Since the newest balance transaction that was read was created; 0 in one that stands by.",
    ),
    MetricSpec(
        "counter",
        "feed_healed",
        "Payment events written because no webhook with their fact had come, by type.",
        ("type",),
    ),
    MetricSpec(
        "counter",
        "feed_not_healed",
        "Lost webhooks that could not be written: no_fact (the rulebook gives it no key), refused"
        " (the rulebook refuses it).",
        ("reason",),
    ),
)
"""What `feed` shows. Types come from signed events only, and their number is bounded."""

STATUS_CATALOGUE: Final = (
    # `status --metrics` writes these, for a file that node_exporter reads or a push gateway.
    MetricSpec("gauge", "status_members", "Members of the worker's group.", ("group",)),
    MetricSpec(
        "gauge",
        "status_lag_records",
        "Records that the group has not committed, by topic.",
        ("topic", "role"),
    ),
    MetricSpec("gauge", "status_parked_events", "Events that are parked now.", ("topic",)),
    MetricSpec(
        "gauge",
        "status_parked_due_timestamp_seconds",
        "When the first of them is tried again.",
        ("topic",),
    ),
    MetricSpec(
        "gauge",
        "status_refused_events",
        "Dead letters and rejections since the time that was asked for.",
        ("kind", "reason"),
    ),
    MetricSpec(
        "gauge",
        "status_newest_posting_timestamp_seconds",
        "When the ledger took the last transfer.",
    ),
    MetricSpec(
        "gauge",
        "status_rulebook_approved",
        "1 where the rulebook is as its lock says, else 0.",
        ("rulebook",),
    ),
    MetricSpec(
        "gauge", "status_reconciled_timestamp_seconds", "When the last reconciliation was made."
    ),
    MetricSpec("gauge", "status_reconciled_differences", "What differed in it."),
)
"""What `status --metrics` writes. Reasons are words of the worker's and the ledger's."""

SYNC_CATALOGUE: Final = (
    MetricSpec("counter", "sync_records", "Announcements read from the outbox."),
    MetricSpec(
        "counter", "sync_unreadable", "Records of the outbox that are no announcement of a worker."
    ),
    MetricSpec(
        "counter",
        "sync_unnamed",
        "Balances left out because only a hash of the account's long key was announced.",
    ),
    MetricSpec("counter", "sync_rows_written", "Balances written to PostgreSQL."),
    MetricSpec(
        "counter",
        "sync_rows_set_aside",
        "Times that a row was refused by PostgreSQL, or locked, and set aside.",
    ),
    MetricSpec(
        "counter",
        "sync_read_again",
        "Partitions read from an earlier offset because the database had been moved back.",
    ),
    MetricSpec("gauge", "sync_rows_waiting", "Rows that are set aside now."),
    MetricSpec(
        "gauge",
        "sync_lag_records",
        "Records of the outbox after the offset that was last committed.",
        ("topic", "partition"),
    ),
)
"""What `sync` shows while it follows."""
