"""The `fastrl` command and its subcommands."""
