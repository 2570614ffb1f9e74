"""Runs a `Service` value: connects, consumes, loads, decides, appends, acknowledges, serves, stops."""
