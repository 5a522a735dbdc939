"""Make the dataset of a source whose parts have been looked at."""
