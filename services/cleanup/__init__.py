"""Keeps the data directory small: compresses evidence, removes what ended tasks leave, watches the disk.

Owns: artifact, workspace, disk
Consumes: incident_opened stage_completed stage_failed task_cancelled task_done task_given_up task_retried
Emits: artifact_compressed workspace_removed disk_pressure_raised disk_pressure_cleared
Never: deletes evidence, touches the workspace of a task that goes on, follows a symlink, looks at what it stores
"""
