"""A run folder on disk: what is saved, locked, logged and shown."""
