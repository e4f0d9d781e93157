"""Stripe's side into Kafka: webhooks, balance transactions, and the history of its lists."""
