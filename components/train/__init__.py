"""Train a first bundle on a dataset."""
