"""The ledgers behind one port: TigerBeetle, and the embedded engine that follows its semantics."""
