"""Realistic, deterministic Stripe and wallet traffic. Pure: no clock, no I/O."""
