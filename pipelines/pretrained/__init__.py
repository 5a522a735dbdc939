"""First model of a task, from a network that was pretrained on all images."""
