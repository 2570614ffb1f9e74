"""Whom alerting tells, and how."""
