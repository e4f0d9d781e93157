"""Live balances over HTTP, read-only, for the app that must refuse before it confirms.

A request goes through: server (limits on connections) → middleware (limits on requests, metrics) →
api (route, token) → shared_lookups (one ledger request for many readers) → balance (the figures).
"""
