"""Where a run's curves go beside its own log: TensorBoard files, Weights & Biases, Trackio, a logger of yours."""
