"""`journal`: entries that people write, from a CSV file to the journal topic."""
