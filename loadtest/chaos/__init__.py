"""Breaks the real embedded stack under load, in every way we know, and has the record judged by an outsider."""
