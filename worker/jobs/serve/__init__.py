"""Live balances over HTTP, read-only, for the app that must refuse before it speaks.

A request goes through: server (limits of HTTP) → api (route, token) → lookups (one request to the
ledger for many readers) → balance (what the figures mean). Nothing in here can write to the ledger.
"""
