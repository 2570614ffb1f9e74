"""Tests of the dashboard, and the histories that they show it."""
