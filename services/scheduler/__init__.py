"""Walks every task from submission to its end and decides who may run.

Owns: task, admission, mode, aside, budget, claim, stall
Consumes: stage_completed stage_failed stage_cancelled token_grant_exhausted gate_decided plan_delta_recorded
    stage_retry_advised incident_filed
Emits: every event of its seven streams
Never: runs anything, judges anything, reads another service's tables
"""
