"""Runs a stack whose services reach NATS and Postgres through ports of somebody else: the proxies of the suite.

`python -m loadtest.chaos.behind DATA_DIR NATS_PORT POSTGRES_PORT` is `autopilot up --ephemeral-ports` in all else.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from autopilot.stack import detach, service
from autopilot.stack.child import Child
from autopilot.stack.config import NATS, POSTGRES, StackConfig
from autopilot.stack.foreground import run_until_stopped
from autopilot.stack.progress import silent
from autopilot.stack.secrets import Secrets
from autopilot.stack.stack import Stack
from autopilot.wiring import hooks
from loadtest.chaos import clock


def redirected(config: StackConfig, nats: int, postgres: int) -> StackConfig:
    """Describe the same stack as its services see it: servers behind the proxies."""
    return msgspec.structs.replace(config, ports={**config.ports, NATS: nats, POSTGRES: postgres})


def main() -> int:
    """Run until told to stop."""
    data_dir, nats, postgres = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

    def make_service(name: str, config: StackConfig, credentials: Secrets) -> Child:
        # Its own port comes from the unchanged part; whether it is ready is asked there directly.
        child = service.child(name, redirected(config, nats, postgres), credentials)
        faked = clock.environment(data_dir)
        # A library is preloaded when a program begins, never by a fork: such a service is started by itself.
        orders = () if faked else child.orders
        return msgspec.structs.replace(child, env={**child.env, **faked}, orders=orders)

    config = StackConfig.from_arguments(data_dir, ephemeral_ports=True)
    report = detach.background_report() or silent
    asyncio.run(run_until_stopped(Stack(config, hooks(), make_service=make_service), report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
