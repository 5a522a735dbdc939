"""A study fanned out over its grid, a task a cell, and gathered into its tables."""
