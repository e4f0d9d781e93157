"""The packaged rulebook, its JSON Schema, and the loader that tells file and line."""
