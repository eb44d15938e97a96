"""Data collection: rollouts as datasets, and the replay of a run as a dataset."""
