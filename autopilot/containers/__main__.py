"""`python -m autopilot.containers init|admin`: run by the compose file, not by people."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from autopilot.containers.admin import administer
from autopilot.containers.dealing import STATE, configuration, deal
from autopilot.stack.errors import StackError
from autopilot.wiring import hooks
from libs.telemetry.log import configure

#: Touched by `admin`; the container's health check looks at its age.
BEAT = Path("/tmp/beat")  # noqa: S108 - a file system in memory of the container's own


def main(arguments: list[str]) -> int:
    """Run one of the two."""
    match arguments:
        case ["init"]:
            work = None
        case ["admin"]:
            work = administer(configuration(), hooks(), BEAT)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    configure(arguments[0], ())
    try:
        if work is None:
            deal(configuration(), hooks().nats_users, STATE / "parts")
        else:
            asyncio.run(work)
    except (StackError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
