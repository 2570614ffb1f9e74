"""The stage-runner's decisions and texts."""
