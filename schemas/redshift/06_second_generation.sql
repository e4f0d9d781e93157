-- Once, for a table that was made before the second generation of the outbox's schema: its columns.
-- 02_tables.sql makes them in a new one. Old rows keep NULL; fact_at is in the first twelve digits of
-- transfer_id, as milliseconds since 1970.
ALTER TABLE ledger.transfers ADD COLUMN fact VARCHAR(1024);
ALTER TABLE ledger.transfers ADD COLUMN fact_at TIMESTAMP;
ALTER TABLE ledger.transfers ADD COLUMN record_topic VARCHAR(256);
ALTER TABLE ledger.transfers ADD COLUMN record_partition INTEGER;
ALTER TABLE ledger.transfers ADD COLUMN record_offset BIGINT;
ALTER TABLE ledger.transfers ADD COLUMN expires_at TIMESTAMP;
