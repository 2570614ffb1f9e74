"""The disk: workspaces that go, and how full it is."""
