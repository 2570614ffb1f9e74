"""Writes an incident as an MRFC: a directory whose `reproduce` script shows the failure on a clean machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from contracts.message import Recorded
from contracts.receipt import CommandReceipt
from contracts.resolution import IncidentOpened
from contracts.task import RepoSpec, Reproduction
from libs.evidence.error import EvidenceError
from libs.evidence.redaction import Redactor
from libs.evidence.store import EvidenceStore
from libs.git.broker import Broker
from libs.git.error import GitError
from libs.git.mirror import Mirror
from libs.verification.report import Report
from services.resolution.adapters import trial
from services.resolution.adapters.expectation import Expectation, expect
from services.resolution.adapters.readme import Story, readme
from services.resolution.adapters.script import Repository, one_line, script
from services.resolution.adapters.surroundings import Lock, Seen, look
from services.resolution.projections import attempts, events

log = structlog.get_logger(__name__)

#: Bytes of a failing command's output that go into the directory, and of a per-test report that are read.
MAX_OUTPUT, MAX_REPORT = 200_000, 50_000_000
#: Directories that are being written at once, their scripts not run yet.
PLACES = 4
#: The base, for those who have the directory and no forge; it stays out of the branch.
BUNDLE = "base.bundle"

_NAMES = frozenset({"name", "repo", "task_id", "incident_id"})
T = TypeVar("T")


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A directory that is in its place."""

    path: Path
    #: What the commit of its branch says.
    message: str
    #: What goes into the branch, relative to the directory.
    files: tuple[str, ...]
    reproduction: Reproduction


class Reporter:
    """Makes incident directories below the data directory."""

    def __init__(self, data_dir: Path, redactor: Redactor | None = None) -> None:
        self._data_dir = data_dir.absolute()
        self._broker = Broker(data_dir)
        self._redactor = redactor or Redactor()
        self._evidence = EvidenceStore(data_dir / "evidence", self._redactor)
        self._places = asyncio.Semaphore(PLACES)
        # A suite beside those of the stage-runner is enough; what runs no command of a repository need not wait for it.
        self._turn = asyncio.Semaphore(1)

    async def write(self, incident: IncidentOpened, history: Sequence[Recorded] = ()) -> Written:
        """Write the directory, its script run on the way.

        It is written beside its place and moved there whole, so that a crash leaves all or nothing, and doing it
        again gives the same but for what the script gives. Raises OSError: the disk is full or away.
        """
        place = self._data_dir / "incidents" / incident.incident_id
        draft = place.with_name(f".{place.name}.draft")
        # Everything is written from values without secrets: taken out afterwards, they could break what is quoted.
        clean = cleaned(self._redactor, incident)
        expectation = expect(clean)
        async with self._places:
            await asyncio.to_thread(_make_empty, draft)
            lock = await look(tuple(repo for repo in incident.repos if self._broker.existing(repo.url)))
            repositories, redacted = [], []
            for repo in incident.repos:
                one, taken_out = await self._repository(incident, repo, lock, draft / "repos" / repo.name)
                repositories.append(one)
                redacted += [repo.name] if taken_out else []
            text = script(clean, expectation, tuple(repositories))
            await asyncio.to_thread(self._write_program, incident, draft, text)
        unreadable = expectation.heavy and not any(one.base for one in repositories)
        if hopeless := expectation.nothing or ("the base could not be read" if unreadable else ""):
            reproduction, printed = Reproduction(gave="not_tried", detail=hopeless), b""
        else:
            reproduction, printed = await self._try(incident, expectation, draft, lock)
        story = Story(
            incident=msgspec.structs.replace(clean, patch=None),
            expected=expectation,
            attempts=cleaned(self._redactor, attempts(history)),
            events=events(incident.task_id, history),
            environment=cleaned(self._redactor, lock),
            redacted=tuple(redacted),
            reproduction=reproduction,
        )
        files = await asyncio.to_thread(_complete, draft, story, printed)
        await asyncio.to_thread(_replace, draft, place)
        message = f"Incident {clean.incident_id}: {one_line(clean.title)}\n\n{clean.reason}\n"
        return Written(path=place, message=message, files=files, reproduction=reproduction)

    async def write_bare(self, incident: IncidentOpened, cause: str) -> Written:
        """Write what needs nothing but the incident: how it is filed if the directory cannot be made as it should be."""
        place = self._data_dir / "incidents" / incident.incident_id
        clean = cleaned(self._redactor, incident)
        text = (
            f"# {one_line(clean.title)}\n\nTask `{clean.task_id}` was given up at stage `{clean.stage}` "
            f"(`{clean.label}`): {one_line(clean.reason)}\n\nThere is no script: {cause}.\n"
        )
        await asyncio.to_thread(_make_empty, place)
        (place / "README.md").write_text(text, errors="replace")
        return Written(
            path=place,
            message=f"Incident {clean.incident_id}: {one_line(clean.title)}\n",
            files=("README.md",),
            reproduction=Reproduction(gave="not_tried", detail=cause),
        )

    async def _try(
        self, incident: IncidentOpened, expectation: Expectation, draft: Path, lock: Lock
    ) -> tuple[Reproduction, bytes]:
        named = {place for seen in lock.repositories.values() for place in seen.directories}
        cookie = f"incident-{incident.incident_id}-{hashlib.sha256(bytes(self._data_dir)).hexdigest()[:12]}"
        async with self._turn if expectation.heavy else contextlib.nullcontext():
            return await trial.attempt(incident, draft, tuple(sorted(named)), cookie, self._redactor)

    async def _repository(
        self, incident: IncidentOpened, repo: RepoSpec, lock: Lock, directory: Path
    ) -> tuple[Repository, bool]:
        directory.mkdir(parents=True)
        seen = lock.repositories.get(repo.name, Seen())
        known = Repository(
            spec=cleaned(self._redactor, repo),
            env=cleaned(self._redactor, seen.variables),
            directories=cleaned(self._redactor, seen.directories),
            python=seen.python,
            failing=await asyncio.to_thread(self._write_failing, incident, repo, directory),
        )
        mirror = self._broker.existing(repo.url)
        change = next((change for change in incident.changes if change.repo == repo.name), None)
        base = change.base_commit if change is not None else incident.bases.get(repo.name)
        try:
            patch = await self._patch(incident, repo, mirror, base)
            clean = None if patch is None else self._redactor.redact(patch)
            if clean is not None:
                (directory / "change.patch").write_bytes(clean)
            if base is None or mirror is None:
                return known, clean != patch
            await mirror.bundle(base, directory / BUNDLE)
            known = msgspec.structs.replace(
                known, base=base, tree=await mirror.tree(base), ref=base_ref(incident.incident_id)
            )
        except (GitError, EvidenceError) as error:
            log.warning("incident_not_reproducible", incident=incident.incident_id, error=str(error))
            return known, False
        tree = change.tree if change is not None and clean == patch else ""
        return msgspec.structs.replace(known, change_tree=tree), clean != patch

    async def _patch(
        self, incident: IncidentOpened, repo: RepoSpec, mirror: Mirror | None, base: str | None
    ) -> bytes | None:
        """Return the change that failed: as committed, or as it was submitted if it never became a commit."""
        change = next((change for change in incident.changes if change.repo == repo.name), None)
        if change is not None and mirror is not None and base is not None:
            return await mirror.diff(base, change.commit)
        if isinstance(incident.patch, dict):
            return incident.patch.get(repo.name, "").encode()
        return None if incident.patch is None else incident.patch.encode()

    def _write_failing(self, incident: IncidentOpened, repo: RepoSpec, directory: Path) -> Mapping[str, str]:
        """Write which tests failed, a file for each command, and return the names of the files by command."""
        found: dict[str, str] = {}
        for name, receipt in incident.receipts:
            if name != repo.name or receipt.side != "change" or receipt.report is None:
                continue
            try:
                if not self._has_summary(receipt):
                    continue
                content = self._evidence.read(receipt.report.digest, MAX_REPORT)
                report = msgspec.json.decode(content, type=Report)
            except (EvidenceError, msgspec.DecodeError) as error:
                log.warning("report_not_read", incident=incident.incident_id, error=str(error))
                continue
            tests = {test.id for test in report.tests if test.status in ("failed", "error")}
            tests = {test for test in tests | set(report.collect_errors) if test and "\n" not in test}
            if tests and receipt.command not in found:
                file = f"failing-{len(found) + 1}.txt"
                listed = "".join(f"{test}\n" for test in sorted(tests))
                (directory / file).write_bytes(self._redactor.redact(listed.encode("utf-8", "replace")))
                found[receipt.command] = file
        return found

    def _has_summary(self, receipt: CommandReceipt) -> bool:
        """Tell whether pytest said at the end which tests failed; without that the script has nothing to compare."""
        if receipt.output is None:
            return False
        return b"short test summary info" in self._evidence.read(receipt.output.digest, MAX_REPORT)

    def _write_program(self, incident: IncidentOpened, directory: Path, text: str) -> None:
        program = directory / "reproduce"
        program.write_text(text, errors="surrogateescape")
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        evidence = directory / "evidence"
        evidence.mkdir()
        for place, reference in enumerate(dict.fromkeys(incident.evidence)):
            with contextlib.suppress(EvidenceError):
                # It was stored without secrets; redacting again costs nothing and depends on nobody.
                content = self._redactor.redact(self._evidence.read(reference.digest, MAX_OUTPUT))
                (evidence / f"{place:02}-{reference.name.replace('/', '-')}").write_bytes(content)


def base_ref(incident_id: str) -> str:
    """Name the ref under which the forge keeps the base of an incident: no branch, so nobody merges it by mistake."""
    return f"refs/incidents/{incident_id}/base"


def cleaned(redactor: Redactor, value: T) -> T:
    """Return a value with the secrets taken out of every text in it but names, which are tokens and become paths."""

    def clean(part: Any) -> Any:
        match part:
            case str():
                return redactor.redact(part.encode("utf-8", "surrogateescape")).decode(
                    "utf-8", "surrogateescape"
                )
            case dict():
                return {key: item if key in _NAMES else clean(item) for key, item in part.items()}
            case list() | tuple():
                return [clean(item) for item in part]
            case _:
                return part

    if isinstance(value, tuple):
        return tuple(cleaned(redactor, item) for item in value)  # type: ignore[return-value]
    return msgspec.convert(clean(msgspec.to_builtins(value)), type=type(value))


def _complete(draft: Path, story: Story, printed: bytes) -> tuple[str, ...]:
    (draft / "incident.json").write_bytes(msgspec.json.format(msgspec.json.encode(story)) + b"\n")
    (draft / "environment.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(story.environment)) + b"\n"
    )
    (draft / "README.md").write_text(readme(story), errors="replace")
    if printed:
        (draft / "reproduction.log").write_bytes(printed)
    found = (path.relative_to(draft) for path in draft.rglob("*") if path.is_file())
    return tuple(sorted(str(path) for path in found if path.name != BUNDLE))


def _make_empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def _replace(draft: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    os.replace(draft, place)
