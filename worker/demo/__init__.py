"""The demo's page: what the worker did, read back from the topics and the ledger."""
