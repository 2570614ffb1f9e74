"""Alerting, over in-memory twins and a receiver of its own."""
