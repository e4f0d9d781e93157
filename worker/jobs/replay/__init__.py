"""Replay: what old records would post, posting it, and making a lost side again from the others."""
