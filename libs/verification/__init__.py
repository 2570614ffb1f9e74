"""Judges a change by what was measured on a fresh checkout of it, and on nothing else."""
