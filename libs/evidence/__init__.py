"""Keeps what a task leaves behind: stored once under its digest, with secrets taken out on the way in."""
