"""Show the model card of the version that was just promoted."""
