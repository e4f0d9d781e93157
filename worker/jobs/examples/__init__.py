"""Worked examples of a rulebook's rules, on a ledger in memory."""
