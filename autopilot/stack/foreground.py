"""Runs a stack until somebody asks it to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from autopilot.stack.errors import StackError
from autopilot.stack.progress import Report
from autopilot.stack.stack import Stack
from libs.telemetry import log

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_until_stopped(stack: Stack, report: Report) -> None:
    """Start the stack, then wait for SIGINT, SIGTERM or SIGHUP and stop it in order; raises `StackError`.

    A signal during the start ends the start; any signal after the first changes nothing, as each child has a grace
    after which it is killed.
    """
    log.never_fail()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    # Ignored by whoever started us (`nohup`) stays ignored.
    handled = [signum for signum in _STOP_SIGNALS if signal.getsignal(signum) is not signal.SIG_IGN]
    for signum in handled:
        loop.add_signal_handler(signum, asked.set)
    try:
        starting = loop.create_task(stack.start(report))
        asking = loop.create_task(asked.wait())
        await asyncio.wait({starting, asking}, return_when=asyncio.FIRST_COMPLETED)
        if asked.is_set():
            await stack.stop()
            # Its failure was this stop.
            with contextlib.suppress(StackError):
                await starting
            return
        try:
            await starting
            await asking
        finally:
            asking.cancel()
            await stack.stop()
    finally:
        # Not before the stop is over: the default action of a second Ctrl-C would break it off.
        for signum in handled:
            loop.remove_signal_handler(signum)
