"""Cleanup, over in-memory twins and real directories."""
