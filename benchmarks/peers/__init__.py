"""Adapters of `fastrl bench PART --peer FILE.py`: others' code, timed beside ours (`fastrl.benchmarks.beside`)."""
