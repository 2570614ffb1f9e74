"""Holds what holds a target's pytest right before it loads anything; never imported here, only handed over."""
