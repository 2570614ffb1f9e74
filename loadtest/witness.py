"""Reads the record of an embedded stack from outside, over its restarts, and judges it once nothing is under way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import asyncpg
import msgspec

from autopilot.stack import cluster, status
from autopilot.stack.config import StackConfig
from loadtest.checker import record
from loadtest.checker.judge import Breach, judge_at_rest
from loadtest.checker.record import Record

#: Who consumes what, as the documentation says it.
TOPOLOGY = Path(__file__).parents[1] / "docs" / "topology.txt"
#: Seconds without a step of a consumer, a relay or a timer after which a stack is at rest, whatever is still waiting.
STILL_S, QUIET_S = 20.0, 1.0
#: Changes with every step.
MOVES = (
    "select (select count(*) from events), (select sum(version) from inbox), (select sum(position) from follower), (select count(*) from outbox),"
    " (select count(*) from timer where due <= clock_timestamp())"
)
#: Tasks whose last event says that nothing goes on with them by itself.
OPEN = (
    "select count(*) from (select distinct on (stream) type, data ->> 'until' as until from events where category = 'task'"
    " order by stream, version desc) last where type not in ('task_done', 'task_cancelled', 'task_given_up', 'task_parked')"
    " or (type = 'task_parked' and until is not null)"
)
#: A place among all streams, and of the tasks submitted since then how many have not ended and how many there are. Both by an
#: index: to ask costs the same however long the record is. Counting their events made the end of a run slower than its begin.
NEWEST = "select coalesce(max(created), 0) from streams"
SINCE = (
    "select count(*) filter (where not ended), count(*) from streams where category = 'task' and created > $1"
)
#: Seconds between two looks at least, and tasks a second that no system here gets through: looking is work for the one looked at.
LOOK_S, FASTEST = 0.02, 400

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def pause_s(left: int) -> float:
    """Say for how long nobody needs to look whether so many tasks have ended."""
    return max(LOOK_S, left / FASTEST)


class Witness:
    """One connection to Postgres, as its superuser: what may be read does not change with the product's grants."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        self._runner = asyncio.Runner()
        self._connection: Connection | None = None

    def ask(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Ask Postgres. Raises OSError and asyncpg's errors."""

        async def fetch(connection: Connection) -> list[asyncpg.Record]:
            return list(await connection.fetch(query, *args))

        return self._connected(fetch)

    def record(self) -> Record:
        """Read the whole record. Raises OSError and asyncpg's errors."""
        return self._connected(record.read)

    def events(self, after: int, types: Sequence[str]) -> Record:
        """Read the events of some types behind a position. Raises OSError and asyncpg's errors."""
        return self._connected(lambda connection: record.read_events(connection, after, types))

    def at_rest(self, accepted: Iterable[str]) -> tuple[Record, list[Breach]]:
        """Give consumers, relays and timers as long as they move; then judge."""
        topology, names = TOPOLOGY.read_text(encoding="utf-8"), list(accepted)
        moved_at, seen = time.monotonic(), None
        while True:
            now = tuple(self.ask(MOVES)[0])
            if now != seen:
                moved_at, seen = time.monotonic(), now
                time.sleep(QUIET_S)
                continue
            found = self.record()
            breaches = judge_at_rest(found, accepted=names, topology=topology)
            # Judging takes its time: what moved meanwhile is judged again.
            still = time.monotonic() > moved_at + STILL_S and tuple(self.ask(MOVES)[0]) == seen
            if not breaches or still:
                return found, breaches
            time.sleep(QUIET_S)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.terminate()
        self._runner.close()

    def _connected(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Work on the one connection, on a new one where it was lost or the server is another."""

        async def run() -> T:
            if self._connection is None or self._connection.is_closed():
                self._connection = await record.connect(self._superuser())
            try:
                return await work(self._connection)
            except BaseException:
                self._connection.terminate()
                raise

        return self._runner.run(run())

    def _superuser(self) -> str:
        found = status.read(self._config.stack_file)
        if found is None:
            raise OSError(f"{self._config.stack_file} cannot be read")
        placed = msgspec.structs.replace(self._config, ports=found.ports)
        password = (placed.secrets_dir / "postgres-superuser").read_text(encoding="utf-8").strip()
        return placed.dsn(cluster.SUPERUSER, password)
