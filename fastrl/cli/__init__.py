"""The `fastrl` command, a file a noun."""
