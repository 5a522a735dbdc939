"""Fetch the champion by its alias, when the task runs."""
