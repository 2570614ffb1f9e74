"""Compares the bus with the record, and rebuilds it from there when it lost, re-used or invented messages."""
