"""Test kit: the cases that every implementation of a port passes, real servers for them, and time moved by hand."""
