"""Jobs on many devices: what `fastrl launch` prints for TPU pods, Slurm and Kubernetes."""
