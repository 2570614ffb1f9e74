"""The runtime over in-memory twins."""
