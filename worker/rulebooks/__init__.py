"""The packaged rulebook, its JSON Schema, and the loader."""
