"""`python -m autopilot.containers init|admin|restore [PUBLIC_KEY]`: run by the compose file, not by people."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from autopilot.cli.failure import CliError
from autopilot.containers.admin import administer
from autopilot.containers.dealing import DATA, STATE, configuration, deal
from autopilot.stack.errors import StackError
from autopilot.wiring import hooks
from libs.telemetry.log import configure

#: Touched by `admin`; the container's health check looks at its age.
BEAT = Path("/tmp/beat")  # noqa: S108 - a file system in memory of the container's own


def main(arguments: list[str]) -> int:
    """Run one of the three."""
    try:
        match arguments:
            case ["init"]:
                configure("init", ())
                deal(configuration(), hooks().nats_users, STATE / "parts")
            case ["admin"]:
                configure("admin", ())
                asyncio.run(administer(configuration(), hooks(), BEAT))
            case ["restore", *key] if len(key) <= 1:
                configure("restore", ())
                _restore("".join(key))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (StackError, CliError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _restore(key: str) -> None:
    from autopilot.containers.restoring import restore

    counts = asyncio.run(restore(configuration(), hooks(), DATA, sys.stdin.buffer, key))
    print(f"restored {counts.get('events', 0)} events, {counts.get('file', 0)} pieces of files")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
