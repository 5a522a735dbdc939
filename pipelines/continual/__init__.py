"""A new instrument arrives: retrain, judge, promote."""
