"""Files incidents in the background: written, tried, recorded, pushed, recorded. Nothing but the record is needed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from contracts.message import Recorded, key_of
from contracts.resolution import IncidentOpened, IncidentWritten
from libs.eventstore.store import StaleLeaseError, StoreUnavailableError
from libs.runtime.leadership import LEASE_S
from libs.runtime.running import NotLeaderError, Running
from services.resolution.adapters.branch import Branches
from services.resolution.adapters.reporter import Reporter
from services.resolution.domain import FileIncident, IncidentCommand, WriteIncident, incident

log = structlog.get_logger(__name__)

#: Seconds between looks for incidents that are not filed: while there are some, since the disk may be full or away; and
#: while there are none, since whoever opens one says so.
LOOK_S, IDLE_S = 5.0, 300.0


class Filing:
    """Holds the incidents that are being filed."""

    def __init__(self, running: Running, reporter: Reporter, branches: Branches) -> None:
        self._running, self._reporter, self._branches = running, reporter, branches
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._halted = False

    def wake(self) -> None:
        """Look at the record soon: an incident was opened."""
        self._news.set()

    def halt(self, halted: bool) -> None:
        """Stop what is under way, processes and all, and begin nothing, or go on: the record knows what is not filed."""
        self._halted = halted
        for task in self._tasks.values() if halted else ():
            task.cancel()
        self._news.set()

    async def run(self) -> None:
        """File incidents until cancelled."""
        while True:
            self._news.clear()
            some = True
            try:
                some = await self.look()
            except StoreUnavailableError as error:
                log.warning("filing_waits", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if some else IDLE_S):
                    await self._news.wait()

    async def look(self) -> bool:
        """Begin with every incident that is open in the record and not under way here; tell whether there are any."""
        after = ""
        while not self._halted and (
            heads := await self._running.store.heads("incident", open_only=True, after=after)
        ):
            after = heads[-1].stream
            for head in heads:
                incident_id = key_of(head.stream)
                if incident_id not in self._tasks and not self._halted:
                    task = asyncio.create_task(self._guarded(incident_id), name=incident_id)
                    self._tasks[incident_id] = task
                    task.add_done_callback(self._forget)
        return bool(after)

    async def idle(self) -> None:
        """Wait until everything that can be filed now is."""
        await self.look()
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def abandon(self) -> None:
        """Stop: whoever leads next goes on."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task.get_name(), None)

    async def _guarded(self, incident_id: str) -> None:
        try:
            await self._file(incident_id)
        except (StaleLeaseError, NotLeaderError):
            log.warning("incident_left_to_next_leader", incident=incident_id)
        except (StoreUnavailableError, OSError) as error:
            # The next look goes on with it, however long the record or the disk is away.
            log.warning("incident_not_filed_yet", incident=incident_id, error=str(error))
        except Exception:
            log.exception("incident_not_filed", incident=incident_id)

    async def _file(self, incident_id: str) -> None:
        recorded = await self._running.store.read_stream(f"incident-{incident_id}")
        cause, opened = recorded[0], recorded[0].event
        assert isinstance(opened, IncidentOpened), "the first event of an incident opens it"
        written = next((one.event for one in recorded if isinstance(one.event, IncidentWritten)), None)
        if written is None:
            written = await self._write(cause, opened)
        await self._still_leading(incident_id)
        forge, unpublished = await self._branches.push(opened, written)
        await self._decide(cause, opened, FileIncident(forge=forge, unpublished=unpublished))

    async def _write(self, cause: Recorded, opened: IncidentOpened) -> IncidentWritten:
        """Write and try the directory, make the commit, and record both before anybody outside can see it."""
        store = self._running.store
        history = await store.read_stream(f"task-{opened.task_id}", upto=opened.upto) if opened.upto else []
        try:
            made = await self._reporter.write(opened, history)
        except OSError:
            raise
        except Exception as error:
            # Whatever it is, the task must come to its end, and a person must see why there is no more.
            log.exception("incident_written_bare", incident=opened.incident_id)
            made = await self._reporter.write_bare(
                opened, f"it could not be written ({type(error).__name__}), see the log of resolution"
            )
        place = await self._branches.commit(opened, made, cause.recorded_at, await self._earlier(opened))
        path = str(made.path.relative_to(self._running.config.data.absolute()))
        wish = WriteIncident(
            path=path,
            reproduction=made.reproduction,
            repo_url=place.repo_url,
            branch=place.branch,
            commit=place.commit,
            parent=place.parent,
            unpublished=place.unpublished,
        )
        await self._decide(cause, opened, wish)
        recorded = await store.read_stream(cause.stream, types=["incident_written"])
        written = recorded[0].event
        assert isinstance(written, IncidentWritten), "it was recorded a moment ago"
        return written

    async def _earlier(self, opened: IncidentOpened) -> frozenset[str]:
        """List the commits of this task's earlier incidents, `<task>-1` to the one before this."""
        number = int(opened.incident_id.rpartition("-")[2])
        commits: set[str] = set()
        for earlier in range(1, number):
            stream = f"incident-{opened.task_id}-{earlier}"
            found = await self._running.store.read_stream(stream, types=["incident_written"])
            commits |= {one.event.commit for one in found if isinstance(one.event, IncidentWritten)}
        return frozenset(commits - {""})

    async def _decide(self, cause: Recorded, opened: IncidentOpened, wish: IncidentCommand) -> None:
        await self._running.perform(lambda work: work.decide(incident, opened.incident_id, wish), cause=cause)

    async def _still_leading(self, incident_id: str) -> None:
        """Make sure that a process which was paused past its lease does not reach the outside."""
        lease = self._running.lease
        if lease is None or not await self._running.store.renew(lease.name, lease.epoch, LEASE_S):
            raise NotLeaderError(f"the lease is lost; incident {incident_id} is left to its holder")


async def file_incidents(running: Running) -> None:
    """Let the parts of a running service file incidents for as long as it leads."""
    filing: Filing = running.parts
    await filing.run()
