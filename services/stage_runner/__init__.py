"""Carries out stages and makes workspaces ready: the only service that touches repositories, sandboxes and forges.

Owns: run
Consumes: stage_requested workspace_requested withdrawal_requested stage_cancel_requested
Emits: every event of its stream
Never: decides what comes next, judges its own work, takes an engine's word
"""
