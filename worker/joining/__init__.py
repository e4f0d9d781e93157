"""Joins of what does not fit in memory, by DuckDB."""
