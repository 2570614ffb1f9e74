"""The task API: submit one or many, look, cancel, retry; mode and settings."""
