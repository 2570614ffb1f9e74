"""Judges plans and changes by measured facts; no evidence is a rejection.

Owns: review
Consumes: gate_requested
Emits: gate_decided
Never: runs a command, looks at a repository, believes an engine
"""
