"""Parses Python source, one text at a time."""

from __future__ import annotations

import ast
import threading

_ONE = threading.Lock()


def parse(source: str | bytes) -> ast.Module:
    """Parse a module. Raises what `ast.parse` raises.

    CPython 3.11 counts the depth of the tree that it hands over once for the interpreter, not for each thread: a second
    thread that gets its turn meanwhile makes it raise SystemError ("AST constructor recursion depth mismatch"). Seen
    on a busy machine with verifications beside each other.
    """
    with _ONE:
        return ast.parse(source)
