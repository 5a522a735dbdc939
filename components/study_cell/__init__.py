"""Run one cell of a study."""
