"""Let the gate decide, register, move the alias."""
