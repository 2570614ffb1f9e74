"""What all levels share: plain logs, since drawing one traceback takes longer than most tests; properties without a clock."""

from __future__ import annotations

import signal

import pytest
import structlog
from hypothesis import HealthCheck, settings

from libs.testing import servers

# How long an example takes says how busy the machine is, and nothing about what it is an example of.
settings.register_profile("roaming", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same code is given the same examples, so that what fails once fails again; `--hypothesis-profile roaming` draws others.
settings.register_profile("settled", settings.get_profile("roaming"), derandomize=True)
settings.load_profile("settled")

# Where tests run in the background or under nohup these are ignored, and by all that they start, too: signals that a test
# sends would not be heard. What is handled here is as usual there, and nothing happens here either.
for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(signum) is signal.SIG_IGN:
        signal.signal(signum, lambda *_: None)

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str),
    ]
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers there were, where any were needed."""
    if servers.choice.cache_info().currsize:
        kind, why = servers.choice()
        terminalreporter.write_line(f"servers: {kind} ({why})")
