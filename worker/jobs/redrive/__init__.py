"""Redrive: chosen dead letters, rejections and parked events go through again."""
