"""W8 on other systems, each in an environment of its own below `build/peers/`."""
