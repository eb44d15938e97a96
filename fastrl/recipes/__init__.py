"""A paper's method as a list of phases."""
