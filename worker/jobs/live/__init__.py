"""The live worker, put together from its stages and run."""
