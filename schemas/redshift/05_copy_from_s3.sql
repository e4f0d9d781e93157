-- Without streaming ingestion: the outbox in Avro (LEDGER_WORKER_OUTBOX__FORMAT=avro), written to S3 as
-- Avro files by a sink connector, loaded by COPY; the paths are beside this file. Load into a stage, then into the table: COPY knows no keys.
CREATE TEMP TABLE staged AS SELECT * FROM ledger.transfers WHERE FALSE;

COPY staged
FROM 's3://<bucket>/topics/ledger.transfers.posted/'
IAM_ROLE '<role-arn>'
FORMAT AS AVRO 's3://<bucket>/posted_transfer.jsonpaths.json'
TIMEFORMAT 'auto';

INSERT INTO ledger.transfers
SELECT DISTINCT staged.*
FROM staged
LEFT JOIN ledger.transfers AS held ON staged.transfer_id = held.transfer_id
WHERE held.transfer_id IS NULL;

DROP TABLE staged;
