"""Templates of the page. A package, so that it is shipped with the others."""
