"""Gather the cells of a study into its tables."""
