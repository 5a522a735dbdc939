"""Say in which parts a source is looked at."""
