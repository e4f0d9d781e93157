"""The jobs, one folder each: the live worker, and everything that people run beside it."""
