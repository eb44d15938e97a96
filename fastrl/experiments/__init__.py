"""Whole experiments: several runs and what they show."""
