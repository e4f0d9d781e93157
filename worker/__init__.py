"""The ledger worker: payment events from Kafka become TigerBeetle transfers and announcements."""

__version__ = "0.1.0"
