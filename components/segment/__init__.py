"""Draw masks with a trained bundle."""
