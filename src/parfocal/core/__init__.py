"""Values, protocols and rules that every other layer shares. Imports nothing above itself, and no torch."""
