"""`python -m loadtest.checker DSN [--topology docs/topology.txt] [--at-rest]` judges a record and exits 1 on a breach."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from loadtest.checker import record
from loadtest.checker.judge import Breach, judge, judge_at_rest


def main() -> int:
    """Judge one record."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.checker", description=__doc__)
    parser.add_argument("dsn", help="connection string of a role that may read every table")
    parser.add_argument(
        "--topology", type=Path, help="who consumes what; without it inboxes are not compared"
    )
    parser.add_argument(
        "--at-rest", action="store_true", help="nothing is under way: demand an end of everything"
    )
    options = parser.parse_args()
    breaches, events = asyncio.run(_judged(options))
    for breach in breaches:
        print(breach)
    print(f"{events} events, {len(breaches)} breaches", file=sys.stderr)
    return 1 if breaches else 0


async def _judged(options: argparse.Namespace) -> tuple[list[Breach], int]:
    connection = await record.connect(options.dsn)
    try:
        found = await record.read(connection)
    finally:
        await connection.close()
    if not options.at_rest:
        return judge(found), len(found.events)
    topology = options.topology.read_text(encoding="utf-8") if options.topology else None
    return judge_at_rest(found, topology=topology), len(found.events)


if __name__ == "__main__":
    sys.exit(main())
