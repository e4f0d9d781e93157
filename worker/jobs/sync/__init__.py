"""The balance cache: what the ledger holds, copied one way into PostgreSQL."""
