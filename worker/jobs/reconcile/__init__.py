"""Reconciliation: what events ask for, the ledger holds, the topics announce and Stripe pays."""
