"""The record's seal: signed checkpoints over every event, kept twice, and the check that finds what was tampered with."""
