"""One file an algorithm, the same skeleton in each; knows no engine and no environment."""
