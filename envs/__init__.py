"""Environments as two pure functions and a spec; knows nothing of algorithms, data or engine."""
