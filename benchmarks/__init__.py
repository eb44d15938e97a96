"""Speed and memory of this machine; installs as `fastrl.benchmarks`, `fastrl bench` runs it."""
