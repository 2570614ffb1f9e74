"""Small edits of Python files, likeliest first; `candidates` is all there is to call."""

from __future__ import annotations

from libs.repair.edits.ranking import candidates

__all__ = ["candidates"]
