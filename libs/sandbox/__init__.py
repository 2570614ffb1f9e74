"""Runs commands of untrusted repositories where they can neither see nor touch the machine."""
