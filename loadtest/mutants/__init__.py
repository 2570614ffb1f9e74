"""Bugs that a mutation tool makes in real repositories, as cases."""
