"""One file per command of `ledger-worker`."""
