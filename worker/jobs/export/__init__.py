"""Exports what the ledger holds, for a period, as files that analytics tools read."""
