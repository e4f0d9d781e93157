"""The embedded ledger's state machine: TigerBeetle's semantics in plain Python, without I/O."""
