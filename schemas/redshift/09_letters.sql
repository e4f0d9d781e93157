-- What was not posted: rejections and dead letters, one row per record, and what cannot be read. A
-- rejection or letter can come again: the first by event (rejections) or value (letters) counts.
-- Dead letters hold the original bytes; why, and from which record, is in their headers.
CREATE MATERIALIZED VIEW rejected_records
DISTSTYLE EVEN
SORTKEY (refresh_time)
AUTO REFRESH YES
AS
SELECT
    kafka_partition, kafka_offset, kafka_timestamp, kafka_headers, refresh_time,
    CASE WHEN CAN_JSON_PARSE(kafka_value) THEN JSON_PARSE(kafka_value) END AS record,
    NOT CAN_JSON_PARSE(kafka_value) AS unreadable
FROM outbox_stream."ledger.events.rejected";

CREATE MATERIALIZED VIEW dead_records
DISTSTYLE EVEN
SORTKEY (refresh_time)
AUTO REFRESH YES
AS
SELECT
    kafka_partition, kafka_offset, kafka_timestamp, kafka_key, kafka_value, kafka_headers,
    refresh_time
FROM outbox_stream."ledger.events.dead";

CREATE OR REPLACE VIEW ledger.rejections AS
SELECT event_id, event_type, event_created, transaction_name, leg, reason, attempt, kafka_timestamp
FROM (
    SELECT
        record.event_id::VARCHAR(256) AS event_id,
        record.event_type::VARCHAR(128) AS event_type,
        record.event_created::VARCHAR(32)::TIMESTAMP AS event_created,
        record.transaction::VARCHAR(128) AS transaction_name,
        record.leg::VARCHAR(128) AS leg,
        record.reason::VARCHAR(64) AS reason,
        record.attempt::INTEGER AS attempt,
        kafka_timestamp,
        ROW_NUMBER() OVER (
            PARTITION BY record.event_id::VARCHAR(256), record.attempt::INTEGER
            ORDER BY kafka_partition, kafka_offset
        ) AS copy_number
    FROM rejected_records
    WHERE NOT unreadable
) AS numbered
WHERE copy_number = 1;

-- Records of ours that cannot be read: none of them may be.
CREATE OR REPLACE VIEW ledger.unreadable_records AS
SELECT 'posted' AS written_as, kafka_partition, kafka_offset, refresh_time
FROM outbox_records
WHERE unreadable
UNION ALL
SELECT 'rejected' AS written_as, kafka_partition, kafka_offset, refresh_time
FROM rejected_records
WHERE unreadable;
