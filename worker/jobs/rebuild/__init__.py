"""Rebuilds a lost ledger from the outbox and the events that it announces."""
