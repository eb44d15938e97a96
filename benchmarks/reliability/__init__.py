"""Scripts that try to break a run, one each, and count what happened: `python -m fastrl.benchmarks.reliability`."""
