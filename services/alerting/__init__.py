"""Turns what must not go unnoticed into alerts, and tells each sink until it has taken them.

Owns: alert
Consumes: admission_flows admission_stalled budget_warned disk_pressure_cleared disk_pressure_raised gate_decided
    infinite_loop_detected mode_changed stage_requested task_cancelled task_given_up task_parked task_retried
    task_unparked wall_limit_near
Emits: alert_raised alert_delivered alert_delivery_failed alert_resolved
Never: acts on what it reports, alerts about simulated work, forgets an alert that a sink has not taken
"""
