"""The monitor's half of the annotation page: which case is next, who has it, what a model says of it, what is kept."""
