"""The outside of the scheduler: the machine."""
