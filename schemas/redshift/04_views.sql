-- What people read: accounts, entries, the trial balance, and each day's settlement.

-- Both sides of every transfer. A pending transfer only reserves; its post moves the money; a void
-- moves nothing.
CREATE OR REPLACE VIEW ledger.entries AS
SELECT
    transfer_id, ledger, currency, scale, posted_at, transaction_name, leg, kind, event_id,
    debit_account_id AS account_id, debit_account AS account, debit_key AS account_key,
    amount AS debit, 0::DECIMAL(38, 0) AS credit
FROM ledger.transfers
WHERE kind IN ('posted', 'post')
UNION ALL
SELECT
    transfer_id, ledger, currency, scale, posted_at, transaction_name, leg, kind, event_id,
    credit_account_id AS account_id, credit_account AS account, credit_key AS account_key,
    0::DECIMAL(38, 0) AS debit, amount AS credit
FROM ledger.transfers
WHERE kind IN ('posted', 'post');

-- The account dimension: every account that money ever moved on.
CREATE OR REPLACE VIEW ledger.accounts AS
SELECT
    account_id,
    MIN(account) AS account,
    MIN(account_key) AS account_key,
    MIN(ledger) AS ledger,
    MIN(currency) AS currency,
    MIN(scale) AS scale,
    MIN(posted_at) AS first_posted_at,
    MAX(posted_at) AS last_posted_at
FROM ledger.entries
GROUP BY account_id;

-- By declared account and currency, in minor units. Over a currency, debits equal credits.
CREATE OR REPLACE VIEW ledger.trial_balance AS
SELECT
    currency,
    account,
    MIN(scale) AS scale,
    SUM(debit) AS debits,
    SUM(credit) AS credits,
    SUM(debit) - SUM(credit) AS balance
FROM ledger.entries
GROUP BY currency, account;

-- What each day did to the money at the processor: by day, currency and rule.
CREATE OR REPLACE VIEW ledger.daily_settlement AS
SELECT
    CAST(posted_at AS DATE) AS day,
    currency,
    transaction_name,
    COUNT(*) AS transfers,
    SUM(debit) AS came_in,
    SUM(credit) AS went_out,
    SUM(debit) - SUM(credit) AS net
FROM ledger.entries
WHERE account = 'stripe_clearing'
GROUP BY CAST(posted_at AS DATE), currency, transaction_name;
