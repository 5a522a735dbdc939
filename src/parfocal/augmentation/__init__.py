"""Changes made to training pictures: the parameters are drawn first, then applied deterministically."""
