"""Pure event sourcing: a decider and its fold."""
