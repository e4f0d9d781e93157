-- What moved on each account by accounting day, kept up to date: run it after 03_merge.sql, in the same
-- schedule and one transaction. Days that anything new belongs to are summed anew, so a transfer that
-- comes late changes its own day.
CREATE TABLE IF NOT EXISTS ledger.account_days (
    account_id VARCHAR(32) NOT NULL,
    day DATE NOT NULL,
    currency VARCHAR(8) NOT NULL,
    scale INTEGER NOT NULL,
    account VARCHAR(128) NOT NULL,
    account_key VARCHAR(256) NOT NULL,
    debits DECIMAL(38, 0) NOT NULL,
    credits DECIMAL(38, 0) NOT NULL,
    newest_timestamp BIGINT NOT NULL,
    PRIMARY KEY (account_id, day)
)
DISTKEY (account_id)
SORTKEY (day);

-- Rows of the first generation have no fact_at: it is in the first twelve digits of transfer_id.
CREATE OR REPLACE VIEW ledger.dated_entries AS
SELECT
    entries.account_id, entries.account, entries.account_key, entries.currency, entries.scale,
    entries.debit, entries.credit, transfers.ledger_timestamp,
    COALESCE(
        CAST(transfers.fact_at AS DATE),
        CAST(DATEADD(
            day,
            CAST(FLOOR(STRTOL(LEFT(transfers.transfer_id, 12), 16) / 86400000) AS INTEGER),
            '1970-01-01'::DATE
        ) AS DATE)
    ) AS day
FROM ledger.entries AS entries
JOIN ledger.transfers AS transfers ON transfers.transfer_id = entries.transfer_id;

-- A transfer may be loaded a little after a later one: what was posted in the last hour is looked at
-- again.
CREATE TEMP TABLE touched_days AS
SELECT DISTINCT account_id, day
FROM ledger.dated_entries
WHERE ledger_timestamp > COALESCE(
    (SELECT MAX(newest_timestamp) - 3600000000000 FROM ledger.account_days), 0
);

DELETE FROM ledger.account_days
USING touched_days
WHERE
    ledger.account_days.account_id = touched_days.account_id
    AND ledger.account_days.day = touched_days.day;

INSERT INTO ledger.account_days
SELECT
    moved.account_id,
    moved.day,
    MIN(moved.currency),
    MIN(moved.scale),
    MIN(moved.account),
    MIN(moved.account_key),
    SUM(moved.debit),
    SUM(moved.credit),
    MAX(moved.ledger_timestamp)
FROM ledger.dated_entries AS moved
JOIN touched_days ON touched_days.account_id = moved.account_id AND touched_days.day = moved.day
GROUP BY moved.account_id, moved.day;

DROP TABLE touched_days;

-- The balance of each account at the end of each day on which it moved: debits less credits.
CREATE OR REPLACE VIEW ledger.balances_by_day AS
SELECT
    account_id, day, account, account_key, currency, scale, debits, credits,
    SUM(debits - credits) OVER (
        PARTITION BY account_id ORDER BY day ROWS UNBOUNDED PRECEDING
    ) AS balance
FROM ledger.account_days;
