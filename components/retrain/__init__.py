"""Teach a champion a new dataset."""
