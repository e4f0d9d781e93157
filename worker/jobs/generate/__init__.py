"""Realistic, deterministic Stripe and wallet traffic, without clock or I/O."""
