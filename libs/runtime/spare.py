"""A process that loads what every service loads and then waits to be told which one it is.

Loading takes most of a service's start. `python -m libs.runtime --spare MODULE…` has done it before anybody crashes;
one line of JSON on its standard input gives it environment and arguments, the end of its input means that nobody will.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import msgspec

FLAG = "--spare"


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a spare process becomes."""

    #: Those of `python -m libs.runtime`.
    arguments: tuple[str, ...]
    #: All of it: nothing of the spare's own stays.
    environment: dict[str, str]


def become(modules: Sequence[str]) -> bool:
    """Load modules, wait for orders and take them on; false if none came. Raises msgspec.DecodeError."""
    for module in modules:
        importlib.import_module(module)
    line = sys.stdin.buffer.readline()
    # Half a line is the end of whoever was writing it.
    if not line.endswith(b"\n"):
        return False
    orders = msgspec.json.decode(line, type=Orders)
    os.environ.clear()
    os.environ.update(orders.environment)
    sys.argv[1:] = orders.arguments
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return True
