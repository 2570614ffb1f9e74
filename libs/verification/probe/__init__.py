"""Holds the observer that runs inside the target's pytest; it is never imported here, only handed over."""
