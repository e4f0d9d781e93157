"""What became of an event, a Stripe object, a command, a transfer or a record."""
