"""Pages for people, served beside the app's balances: search, trace, account, status."""
