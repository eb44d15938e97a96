"""Losses, groups and orders of updates, and one file an algorithm, which reads beside its paper."""
