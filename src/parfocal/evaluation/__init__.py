"""What a model is worth: scores by case, intervals, forgetting, and the report a person reads. Knows no network."""
