"""Runs real cases and scenarios against a stack, from the outside."""
