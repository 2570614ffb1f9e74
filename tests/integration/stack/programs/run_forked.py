"""Supervises one child that a zygote forks, until it is killed: `python run_forked.py FOLDER`.

Prints the ids of the watchdog, the zygote and the child.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from autopilot.stack import environment, zygote
from autopilot.stack.lock import InstanceLock
from tests.integration.stack.test_zygote import Bench


async def main(folder: Path) -> None:
    """Run the child."""
    zygote._LOAD_S = zygote._FORK_S = 600.0
    environment._python = lambda: {"PYTHONPATH": f"{sys.path[0]}:{folder}"}
    bench = Bench(folder, await InstanceLock.acquire(folder / "lock"))
    (told,) = await bench.start("one")
    print(bench.watchdog.pid, bench.zygote.pid, told.pid, flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
