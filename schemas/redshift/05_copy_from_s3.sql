-- Without streaming ingestion: the outbox in Avro (LEDGER_WORKER_OUTBOX__FORMAT=avro), written to S3 as
-- Avro files by a sink connector, loaded by COPY; the paths are beside this file. Load into a stage,
-- then into the table: COPY knows no keys. A transfer that was announced twice, with another time
-- because the ledger was restored in between, comes once, as it was announced last.
-- Of JSON files, one record a line, the same paths serve: FORMAT AS JSON instead of FORMAT AS AVRO.
CREATE TEMP TABLE staged AS SELECT * FROM ledger.transfers WHERE FALSE;

COPY staged
FROM 's3://<bucket>/topics/ledger.transfers.posted/'
IAM_ROLE '<role-arn>'
FORMAT AS AVRO 's3://<bucket>/posted_transfer.jsonpaths.json'
TIMEFORMAT 'auto';

INSERT INTO ledger.transfers
SELECT
    transfer_id, pending_id, amount, transaction_name, leg, leg_number, leg_count, kind,
    currency, scale, ledger, code, flags, debit_account_id, debit_account, debit_key,
    credit_account_id, credit_account, credit_key, event_id, event_type, event_created,
    attempt, posted_at, ledger_timestamp, fact, fact_at, record_topic, record_partition,
    record_offset, expires_at
FROM (
    SELECT
        staged.*,
        ROW_NUMBER() OVER (
            PARTITION BY staged.transfer_id
            ORDER BY staged.ledger_timestamp DESC
        ) AS copy_number
    FROM staged
) AS numbered
WHERE
    copy_number = 1
    AND transfer_id NOT IN (SELECT stored.transfer_id FROM ledger.transfers AS stored);

DROP TABLE staged;
