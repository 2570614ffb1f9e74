"""Measures the data directory's volume, and makes room while there is too little."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from libs.eventstore.store import StoreUnavailableError
from libs.evidence.error import EvidenceError
from libs.evidence.store import EvidenceStore
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.cleanup.domain.artifact import Compressed, artifact
from services.cleanup.domain.disk import VOLUME, Measure, disk

log = structlog.get_logger(__name__)

#: Seconds between two measurements.
EVERY_S = 10.0
#: Seconds after which an unfinished file in the evidence store belongs to a writer that died.
ABANDONED_S = 3_600.0


class Usage(Protocol):
    """What `shutil.disk_usage` tells, in bytes."""

    @property
    def used(self) -> int:
        """Return what is taken."""
        ...

    @property
    def free(self) -> int:
        """Return what may still be taken; what is reserved for root is not among it."""
        ...


class DiskWatch:
    """Looks at the disk for one running service."""

    def __init__(
        self, running: Running, evidence: EvidenceStore, measure: Callable[[Path], Usage] = shutil.disk_usage
    ) -> None:
        self._running, self._evidence, self._measure = running, evidence, measure

    async def run(self) -> None:
        """Look until cancelled. Raises what `Running.perform` raises for a lost lease."""
        while True:
            try:
                await self.step()
            except (StoreUnavailableError, OSError) as error:
                log.warning("disk_not_looked_at", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def step(self) -> None:
        """Measure once; compress everything if there is pressure. Raises StoreUnavailableError, OSError."""
        config = self._running.config
        usage = await asyncio.to_thread(self._measure, config.data)
        measured = Measure(
            used_percent=round(100 * usage.used / max(usage.used + usage.free, 1), 1),
            free_bytes=usage.free,
            pause_percent=config.config_disk_pause_percent,
            resume_percent=config.config_disk_resume_percent,
        )

        async def judge(work: Work) -> bool:
            await work.decide(disk, VOLUME, measured)
            return (await work.load(disk, VOLUME)).pressure

        pressure = await self._running.perform(judge)
        abandoned = self._running.clock.now().timestamp() - ABANDONED_S
        await asyncio.to_thread(self._evidence.sweep, abandoned)
        if pressure:
            await self._compress_all()

    async def _compress_all(self) -> None:
        """Compress whatever is raw. What dies unrecorded in between is recorded when its own timer is due."""
        for digest in await asyncio.to_thread(self._evidence.uncompressed):
            try:
                sizes = await asyncio.to_thread(self._evidence.compress, digest)
            except (EvidenceError, OSError) as error:
                log.warning("evidence_not_compressed", digest=digest, error=str(error))
                continue
            if sizes is not None:
                await self._record(Compressed(digest=digest, before=sizes[0], after=sizes[1]))

    async def _record(self, command: Compressed) -> None:
        async def record(work: Work) -> None:
            await work.decide(artifact, command.digest, command)

        await self._running.perform(record)
