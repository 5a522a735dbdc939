"""Score a challenger beside its rivals."""
