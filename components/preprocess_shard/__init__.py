"""Look at one part of an experience."""
