"""Templates of the studies' page. A package, so that it is shipped with the others."""
