"""Trains one network: the loop, its checkpoints, and what is measured on the way. Settings load no torch."""
