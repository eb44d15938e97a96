"""The scan and everything around it; knows no concrete algorithm."""
