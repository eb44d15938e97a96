"""Arrays in, arrays out: every kernel has a reference and a Pallas form; knows no RL."""
