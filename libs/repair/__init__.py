"""Finds a small edit that makes failing tests pass: where the fault may lie, what might mend it, what the tests say."""
