"""Bytes in and out: events decoded, announcements encoded. No I/O."""
