"""First model of a task, from more images than one pod should preprocess."""
