"""The one exception that a user sees. Imports nothing, so that every part can raise it."""


class UserError(Exception):
    """Bad input, in one line: what, where, how to fix. The command line prints it and exits with code 2."""
