"""Networks as pure functions: MLP trunk, critic ensemble, policies."""
