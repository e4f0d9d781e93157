"""Reads of the ledger for people: balances, statements, trial balances and the export."""
