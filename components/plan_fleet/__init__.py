"""One piece of work an instrument."""
