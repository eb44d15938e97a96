"""Logged data, made here, and read back out of runs."""
