"""Benchmarks: the worker beside straight-line loops, in one run, as ratios."""
