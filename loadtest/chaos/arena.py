"""One stack under attack: its processes, its proxies, and the record as the checker reads it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import asyncpg
import msgspec

from autopilot.stack import detach, processes, status
from autopilot.stack.config import HOST, NATS, POSTGRES, StackConfig
from autopilot.stack.errors import StopTimeoutError
from autopilot.stack.progress import silent
from loadtest.chaos import leftovers
from loadtest.chaos.proxy import Proxy
from loadtest.checker.record import Record
from loadtest.witness import Witness

#: Seconds in which a part must be ready, or the record answer again, before a case is given up.
READY_S = 300.0
#: Seconds in which nothing of a killed stack may be left: longer than the watchdog's grace.
DEAD_S = 30.0
#: Seconds between looks.
LOOK_S = 0.02

T = TypeVar("T")


class ChaosError(Exception):
    """A case could not be carried out; says nothing about the product."""


class Arena:
    """What a case acts on."""

    def __init__(self, config: StackConfig, seed: int) -> None:
        self.config = config
        self.chance = random.Random(seed)  # noqa: S311 - a seed makes a case repeatable
        self.witness = Witness(config)
        self.nats, self.postgres = (
            Proxy(partial(self._target, part), seed=seed) for part in (NATS, POSTGRES)
        )

    @property
    def status(self) -> status.StackStatus:
        """What `stack.json` says now. Raises ChaosError."""
        found = status.read(self.config.stack_file)
        if found is None:
            raise ChaosError(f"{self.config.stack_file} cannot be read")
        return found

    @property
    def placed(self) -> StackConfig:
        """The stack with the ports that it has taken."""
        return msgspec.structs.replace(self.config, ports=self.status.ports)

    @property
    def argv(self) -> list[str]:
        """The command of a supervisor whose services go through the proxies."""
        ports = (str(proxy.port) for proxy in (self.nats, self.postgres))
        return [sys.executable, "-m", "loadtest.chaos.behind", str(self.config.data_dir), *ports]

    def pid(self, part: str) -> int:
        """Wait until a part is ready; return its process id. Raises ChaosError."""

        def look() -> int | None:
            process = self.status.processes.get(part)
            return process.pid if process and process.state == "ready" else None

        return until(look, f"{part} is ready")

    def kill(self, part: str) -> float:
        """Kill a part with -9; return the time."""
        os.kill(self.pid(part), signal.SIGKILL)
        return time.time()

    def kill_everything(self) -> float:
        """Kill supervisor, watchdog and all they started, the supervisor first, so that nothing is mended meanwhile."""
        now = self.status
        marked = processes.marked(f"{now.run_id}/")
        for pid in (now.pid, now.watchdog_pid or 0, *(pid for pid, _ in marked)):
            with contextlib.suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, signal.SIGKILL)
        return time.time()

    def wait_until_dead(self) -> None:
        """Wait until nothing of the killed stack is left. Raises ChaosError."""
        mark = f"{self.status.run_id}/"
        until(lambda: not processes.marked(mark) or None, "everything is dead", DEAD_S)

    def start(self) -> None:
        """Start the stack on its directory, again after everything was killed or stopped. Raises StackError."""
        detach.launch(self.argv, self.config, silent, timeout_s=READY_S)

    def stop(self) -> None:
        """Stop the stack in order; its data stays. Raises StopTimeoutError once it is killed."""
        try:
            detach.stop_running(self.config, timeout_s=READY_S)
        except StopTimeoutError:
            # The case has failed; the next one shall not run beside its remains.
            self.kill_everything()
            raise

    def close(self) -> None:
        """Close the proxies and the connection to the record."""
        self.witness.close()
        self.nats.close()
        self.postgres.close()

    def ask(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Ask Postgres directly. Raises OSError and asyncpg's errors."""
        return self.witness.ask(query, *args)

    def record(self) -> Record:
        """Read the whole record. Raises OSError and asyncpg's errors."""
        return self.witness.record()

    def _target(self, part: str) -> tuple[str, int] | None:
        found = status.read(self.config.stack_file)
        return (HOST, found.ports[part]) if found else None


@contextmanager
def arena(seed: int, prepared: Callable[[Path], contextlib.AbstractContextManager[None]]) -> Iterator[Arena]:
    """Start a stack behind proxies on a data directory that `prepared` makes ready; everything is gone afterwards."""
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=leftovers.PREFIX)))
        leftovers.claim(scratch)
        config = StackConfig.from_arguments(scratch / leftovers.DATA, ephemeral_ports=True)
        stack.enter_context(prepared(config.data_dir))
        made = Arena(config, seed)
        # The proxies outlive the stack, which would otherwise wait for servers while it stops.
        stack.callback(made.close)
        stack.callback(made.stop)
        made.start()
        yield made


def until(
    look: Callable[[], T | None], what: str, deadline_s: float = READY_S, *, look_s: float = LOOK_S
) -> T:
    """Look again and again until there is something. Raises ChaosError with what was waited for."""
    end = time.monotonic() + deadline_s
    while True:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if (found := look()) is not None:
                return found
        if time.monotonic() > end:
            raise ChaosError(f"waited {deadline_s:.0f} s until {what}")
        time.sleep(look_s)
