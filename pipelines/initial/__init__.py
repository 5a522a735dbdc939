"""First model of a task, from the first instrument."""
