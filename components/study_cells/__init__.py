"""List the cells of a study."""
