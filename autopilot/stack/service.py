"""The seven services, as the supervisor sees them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from autopilot.stack import environment
from autopilot.stack.child import Child
from autopilot.stack.config import HOST, NATS, POSTGRES, StackConfig, module_of
from autopilot.stack.probe import http_status
from autopilot.stack.secrets import Secrets


def child(name: str, config: StackConfig, secrets: Secrets, caller: Mapping[str, str] = os.environ) -> Child:
    """Describe one service to the supervisor."""

    async def ready() -> bool:
        return await http_status(HOST, config.ports[name], "/readyz") == 200

    async def alive() -> bool:
        # Not `/readyz`, which is red for reasons that a restart does not cure.
        return await http_status(HOST, config.ports[name], "/healthz", None) is not None

    return Child(
        name=name,
        argv=(sys.executable, "-m", "libs.runtime", module_of(name)),
        orders=(module_of(name),),
        env=environment.for_service(name, config, secrets, caller),
        cwd=config.data_dir,
        log_file=config.log_file(name),
        ready=ready,
        alive=alive,
        depends_on=(POSTGRES, NATS),
    )
