"""Runs a command in a container that sees only what its Spec names. Knows nothing of recipes, keys or the store."""
