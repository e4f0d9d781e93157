"""Batches become outcomes: the ledger is asked, and its answers are put together."""
