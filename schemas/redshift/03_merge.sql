-- From the stream into ledger.transfers, as often as you like: a transfer that is there stays as it
-- is (MERGE must say what to update: a value that is equal, and no sort key, which would rewrite the
-- row), and one that came twice comes once. Run it in one transaction, from a schedule.
CREATE TEMP TABLE new_transfers AS
SELECT
    record.transfer_id::VARCHAR(32) AS transfer_id,
    record.pending_id::VARCHAR(32) AS pending_id,
    record.amount::VARCHAR(39)::DECIMAL(38, 0) AS amount,
    record.transaction::VARCHAR(128) AS transaction_name,
    record.leg::VARCHAR(128) AS leg,
    record.leg_number::INTEGER AS leg_number,
    record.leg_count::INTEGER AS leg_count,
    record.kind::VARCHAR(16) AS kind,
    record.currency::VARCHAR(8) AS currency,
    record.scale::INTEGER AS scale,
    record.ledger::BIGINT AS ledger,
    record.code::INTEGER AS code,
    record.flags::INTEGER AS flags,
    record.debit_account_id::VARCHAR(32) AS debit_account_id,
    record.debit_account::VARCHAR(128) AS debit_account,
    record.debit_key::VARCHAR(256) AS debit_key,
    record.credit_account_id::VARCHAR(32) AS credit_account_id,
    record.credit_account::VARCHAR(128) AS credit_account,
    record.credit_key::VARCHAR(256) AS credit_key,
    record.event_id::VARCHAR(256) AS event_id,
    record.event_type::VARCHAR(128) AS event_type,
    record.event_created::VARCHAR(32)::TIMESTAMP AS event_created,
    record.attempt::INTEGER AS attempt,
    record.posted_at::VARCHAR(32)::TIMESTAMP AS posted_at,
    record.ledger_timestamp::VARCHAR(20)::BIGINT AS ledger_timestamp,
    record.fact::VARCHAR(1024) AS fact,
    record.fact_at::VARCHAR(32)::TIMESTAMP AS fact_at,
    record.topic::VARCHAR(256) AS record_topic,
    record."partition"::INTEGER AS record_partition,
    record."offset"::BIGINT AS record_offset,
    NULLIF(record.expires_at::VARCHAR(32), '')::TIMESTAMP AS expires_at
FROM (
    SELECT
        record,
        ROW_NUMBER() OVER (
            PARTITION BY record.transfer_id::VARCHAR(32)
            ORDER BY kafka_partition, kafka_offset
        ) AS copy_number
    FROM outbox_records
    WHERE
        NOT unreadable
        AND refresh_time > COALESCE(
            (SELECT MAX(refreshed_to) - INTERVAL '1 hour' FROM ledger.loaded),
            '1970-01-01'::TIMESTAMP
        )
) AS numbered
WHERE copy_number = 1;

MERGE INTO ledger.transfers
USING new_transfers AS arrived
ON ledger.transfers.transfer_id = arrived.transfer_id
WHEN MATCHED THEN UPDATE SET ledger_timestamp = arrived.ledger_timestamp
WHEN NOT MATCHED THEN INSERT (
    transfer_id, pending_id, amount, transaction_name, leg, leg_number, leg_count, kind,
    currency, scale, ledger, code, flags, debit_account_id, debit_account, debit_key,
    credit_account_id, credit_account, credit_key, event_id, event_type, event_created, attempt,
    posted_at, ledger_timestamp, fact, fact_at, record_topic, record_partition, record_offset,
    expires_at
) VALUES (
    arrived.transfer_id, arrived.pending_id, arrived.amount, arrived.transaction_name,
    arrived.leg, arrived.leg_number, arrived.leg_count, arrived.kind, arrived.currency,
    arrived.scale, arrived.ledger, arrived.code, arrived.flags, arrived.debit_account_id,
    arrived.debit_account, arrived.debit_key, arrived.credit_account_id, arrived.credit_account,
    arrived.credit_key, arrived.event_id, arrived.event_type, arrived.event_created,
    arrived.attempt, arrived.posted_at, arrived.ledger_timestamp, arrived.fact, arrived.fact_at,
    arrived.record_topic, arrived.record_partition, arrived.record_offset, arrived.expires_at
);

INSERT INTO ledger.loaded SELECT MAX(refresh_time) FROM outbox_records HAVING COUNT(*) > 0;

DROP TABLE new_transfers;
