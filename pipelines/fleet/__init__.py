"""Several instruments, one after another."""
