"""Seven services; each is a value that the runtime runs. They meet only in contracts."""
