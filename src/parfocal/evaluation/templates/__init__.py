"""Templates of the report. A package, so that it is shipped with the others."""
