"""Writes an incident as an MRFC: a directory whose `reproduce` script shows the failure on a clean machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
from pathlib import Path

import msgspec
import structlog

from contracts.resolution import IncidentOpened
from contracts.task import RepoSpec
from libs.evidence.error import EvidenceError
from libs.evidence.store import EvidenceStore
from libs.git.broker import Broker
from libs.git.error import GitError
from services.resolution.adapters.script import readme, script

log = structlog.get_logger(__name__)

#: Bytes of a failing command's output that go into the directory.
MAX_OUTPUT = 200_000


class Reporter:
    """Makes incident directories below the data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._broker = Broker(data_dir)
        self._evidence = EvidenceStore(data_dir / "evidence")

    async def write(self, incident: IncidentOpened) -> tuple[str, bool]:
        """Write the directory and return its path below the data directory, and whether its script can run.

        It is written beside its place and moved there whole, so that a crash leaves all or nothing.
        """
        place = self._data_dir / "incidents" / incident.incident_id
        draft = place.with_name(f".{place.name}.draft")
        await asyncio.to_thread(_make_empty, draft)
        runnable = True
        for repo in incident.repos:
            runnable &= await self._write_repo(incident, repo, draft / repo.name)
        await asyncio.to_thread(self._write_texts, incident, draft, runnable)
        await asyncio.to_thread(_replace, draft, place)
        return str(place.relative_to(self._data_dir)), runnable

    async def _write_repo(self, incident: IncidentOpened, repo: RepoSpec, directory: Path) -> bool:
        directory.mkdir()
        base = incident.bases.get(repo.name)
        mirror = self._broker.existing(repo.url)
        if base is None or mirror is None:
            return False
        try:
            await mirror.bundle(base, directory / "base.bundle")
            patch = await self._patch(incident, repo, base)
        except (GitError, EvidenceError) as error:
            log.warning("incident_not_reproducible", incident=incident.incident_id, error=str(error))
            return False
        (directory / "change.patch").write_bytes(patch)
        return True

    async def _patch(self, incident: IncidentOpened, repo: RepoSpec, base: str) -> bytes:
        """Return the change that failed: as committed, or as it was submitted if it never became a commit."""
        change = next((change for change in incident.changes if change.repo == repo.name), None)
        if change is not None:
            mirror = self._broker.existing(repo.url)
            assert mirror is not None, "the caller has looked"
            return await mirror.diff(base, change.commit)
        if isinstance(incident.patch, dict):
            return incident.patch.get(repo.name, "").encode()
        return (incident.patch or "").encode()

    def _write_texts(self, incident: IncidentOpened, directory: Path, runnable: bool) -> None:
        (directory / "incident.json").write_bytes(msgspec.json.format(msgspec.json.encode(incident)))
        (directory / "README.md").write_text(readme(incident, runnable))
        program = directory / "reproduce"
        program.write_text(script(incident, runnable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        for place, reference in enumerate(incident.evidence):
            with contextlib.suppress(EvidenceError):
                content = self._evidence.read(reference.digest, MAX_OUTPUT)
                name = reference.name.replace("/", "-")
                (directory / f"evidence-{place:02}-{name}").write_bytes(content)


def _make_empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def _replace(draft: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    os.replace(draft, place)
