"""Read an experience, split it by patient, write a dataset."""
