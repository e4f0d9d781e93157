-- Where the copy lives. Ids are 32 hex digits, because 128 bits fit no number type; amounts are minor
-- units, at most 38 digits here (the ledger's 39th would need more money than there is). The last six
-- columns are empty for what was announced before the second generation of the outbox's schema; a
-- table of that time gets them by 06_second_generation.sql. fact_at is the accounting date.
CREATE SCHEMA IF NOT EXISTS ledger;

CREATE TABLE IF NOT EXISTS ledger.transfers (
    transfer_id VARCHAR(32) NOT NULL,
    pending_id VARCHAR(32) NOT NULL,
    amount DECIMAL(38, 0) NOT NULL,
    transaction_name VARCHAR(128) NOT NULL,
    leg VARCHAR(128) NOT NULL,
    leg_number INTEGER NOT NULL,
    leg_count INTEGER NOT NULL,
    kind VARCHAR(16) NOT NULL,
    currency VARCHAR(8) NOT NULL,
    scale INTEGER NOT NULL,
    ledger BIGINT NOT NULL,
    code INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    debit_account_id VARCHAR(32) NOT NULL,
    debit_account VARCHAR(128) NOT NULL,
    debit_key VARCHAR(256) NOT NULL,
    credit_account_id VARCHAR(32) NOT NULL,
    credit_account VARCHAR(128) NOT NULL,
    credit_key VARCHAR(256) NOT NULL,
    event_id VARCHAR(256) NOT NULL,
    event_type VARCHAR(128) NOT NULL,
    event_created TIMESTAMP NOT NULL,
    attempt INTEGER NOT NULL,
    posted_at TIMESTAMP NOT NULL,
    ledger_timestamp BIGINT NOT NULL,
    fact VARCHAR(1024),
    fact_at TIMESTAMP,
    record_topic VARCHAR(256),
    record_partition INTEGER,
    record_offset BIGINT,
    expires_at TIMESTAMP,
    PRIMARY KEY (transfer_id)
)
DISTKEY (transfer_id)
SORTKEY (posted_at);

-- Records up to here are in the copy; the next load begins an hour before it, because a record can
-- become visible later than another with a later time. What is loaded twice changes nothing.
CREATE TABLE IF NOT EXISTS ledger.loaded (refreshed_to TIMESTAMP NOT NULL);
