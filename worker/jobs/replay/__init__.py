"""Replay: what old records would post, posting it, and rebuilding a lost side from the others."""
