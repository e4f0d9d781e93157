"""Kafka at the edge: facts in, actions out. The only place that imports confluent_kafka."""
