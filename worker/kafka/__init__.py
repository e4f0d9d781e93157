"""Kafka at the edge: facts in, actions out. Only modules of this room import confluent_kafka."""
