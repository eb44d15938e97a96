"""Datasets in, replay on the device: knows transitions, knows no algorithm."""
