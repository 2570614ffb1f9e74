"""A stack for one run: on free ports, in a temporary directory, gone afterwards."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autopilot.cli import lifecycle
from autopilot.stack import detach
from autopilot.stack.config import StackConfig
from autopilot.stack.progress import silent


@contextmanager
def own_stack() -> Iterator[StackConfig]:
    """Start a stack and stop it in the end, SIGTERM included. Raises StackError."""
    # The stack is detached: a run that is told to end and just does would leave it up for ever.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="autopilot-loadtest-") as scratch:
        config = StackConfig.from_arguments(Path(scratch) / "data", ephemeral_ports=True)
        lifecycle.start_detached(config, silent)
        try:
            yield config
        finally:
            detach.stop_running(config)
