-- The account dimension: code, title, type and normal side of each declared account. Load it anew when
-- the rulebook changes, from `ledger-worker accounts --csv`:
--   TRUNCATE ledger.chart; COPY ledger.chart FROM 's3://…/accounts.csv' … CSV IGNOREHEADER 1;
CREATE TABLE IF NOT EXISTS ledger.chart (
    account VARCHAR(128) NOT NULL,
    code INTEGER NOT NULL,
    title VARCHAR(256) NOT NULL,
    account_type VARCHAR(16) NOT NULL,
    normal_side VARCHAR(8) NOT NULL,
    family_key VARCHAR(128),
    PRIMARY KEY (account)
)
DISTSTYLE ALL
SORTKEY (code);

-- The trial balance with it: balances in columns that add up, in minor units.
CREATE OR REPLACE VIEW ledger.named_trial_balance AS
SELECT
    sums.currency,
    chart.code,
    chart.title,
    chart.account_type,
    sums.account,
    sums.scale,
    CASE WHEN sums.balance > 0 THEN sums.balance ELSE 0 END AS debit_balance,
    CASE WHEN sums.balance < 0 THEN -sums.balance ELSE 0 END AS credit_balance,
    CASE WHEN chart.normal_side = 'debit' THEN sums.balance ELSE -sums.balance END AS own_balance
FROM ledger.trial_balance AS sums
LEFT JOIN ledger.chart AS chart ON chart.account = sums.account;

-- Every reservation and what became of it. One with a timeout expires without a transfer: the ledger
-- gives the money back at expires_at.
CREATE OR REPLACE VIEW ledger.reservations AS
SELECT
    reserved.transfer_id,
    reserved.currency,
    reserved.scale,
    reserved.amount,
    reserved.debit_account,
    reserved.debit_key,
    reserved.credit_account,
    reserved.credit_key,
    reserved.posted_at,
    reserved.fact_at,
    reserved.expires_at,
    CASE
        WHEN ended.kind = 'post' THEN 'posted'
        WHEN ended.kind = 'void' THEN 'voided'
        WHEN reserved.expires_at <= GETDATE() THEN 'expired'
        ELSE 'held'
    END AS state,
    ended.transfer_id AS ended_by,
    ended.amount AS amount_posted
FROM ledger.transfers AS reserved
LEFT JOIN ledger.transfers AS ended
    ON ended.pending_id = reserved.transfer_id AND ended.kind IN ('post', 'void')
WHERE reserved.kind = 'pending';
