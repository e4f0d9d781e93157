"""What happened, as one frozen record, and its outputs: metrics, logs, health."""
