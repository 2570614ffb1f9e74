"""Decides what is done about a failure: again after a wait, another plan, or an incident for a person.

Owns: loop, incident
Consumes: resolution_awaited stage_completed gate_decided incident_opened
Emits: every event of its two streams
Never: runs a stage (only the script of an incident, in the sandbox), judges a change, retries the same attempt and calls it another
"""
