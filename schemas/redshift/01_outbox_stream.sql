-- The outbox as it comes from Kafka: one row per record, nothing left out, nothing de-duplicated.
-- Replace the names in <angle brackets>. `<prefix>` is the broker list's; authentication is yours.
-- Keys are VARBYTE, which is no DISTKEY: the rows are spread evenly. The headers name the rulebook.
-- CAN_JSON_PARSE keeps a record that is no JSON from stopping the stream; it shows in `unreadable`.
CREATE EXTERNAL SCHEMA outbox_stream
FROM KAFKA
IAM_ROLE '<role-arn>'
AUTHENTICATION mtls
AUTHENTICATION_ARN '<certificate-arn>'
URI '<bootstrap-servers>';

CREATE MATERIALIZED VIEW outbox_records
DISTSTYLE EVEN
SORTKEY (refresh_time)
AUTO REFRESH YES
AS
SELECT
    kafka_partition,
    kafka_offset,
    kafka_timestamp,
    kafka_key,
    kafka_headers,
    refresh_time,
    CASE WHEN CAN_JSON_PARSE(kafka_value) THEN JSON_PARSE(kafka_value) END AS record,
    NOT CAN_JSON_PARSE(kafka_value) AS unreadable
FROM outbox_stream."ledger.transfers.posted";
