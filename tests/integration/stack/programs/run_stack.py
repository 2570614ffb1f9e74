"""Runs a stack of real servers and stand-in services, with children of their own, until a signal comes.

`python run_stack.py DATA_DIR`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from autopilot.stack.config import StackConfig
from autopilot.stack.detach import background_report
from autopilot.stack.errors import StackError
from autopilot.stack.foreground import run_until_stopped
from autopilot.stack.progress import silent
from autopilot.stack.stack import Stack
from tests.integration.stack.fakes import fake_family, hooks


async def main() -> None:
    """Run the stack on free ports."""
    config = StackConfig.from_arguments(Path(sys.argv[1]), ephemeral_ports=True)
    await run_until_stopped(Stack(config, hooks(), make_service=fake_family), background_report() or silent)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except StackError as error:
        sys.exit(f"{type(error).__name__}: {error}")
