"""Keeps what the base showed, so that many changes to one base pay for it once.

An entry is a folder that appears whole by one rename: a reader sees all of it or nothing, and a run that was
cut short never makes one.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog
import zstandard

from libs.verification.execution import Ran
from libs.verification.types import Limits

_log = structlog.get_logger(__name__)
#: Raised when entries of an earlier release must not be read.
_GENERATION = 3
_OUTPUT_LIMIT = 64 << 20
#: Seconds between two looks whether another run of the same thing has ended.
_LOOK_S = 0.05


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """All that the base's result depends on."""

    repo_key: str
    commit: str
    command: str
    setup: str | None
    #: Digest of variables, interpreters and installed packages.
    environment: str
    limits: Limits
    report: str | None
    #: `plain`, `observed` or `control`.
    kind: str

    @property
    def key(self) -> str:
        """Name the entry."""
        return hashlib.sha256(msgspec.json.encode((_GENERATION, self))).hexdigest()


class BaseCache:
    """A folder of base results, shared by all verifications of a data directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    @asynccontextmanager
    async def turn(self, identity: Identity) -> AsyncIterator[None]:
        """Let only one run of the same thing go on, in whatever process; the second finds the first one's result.

        The lock is the kernel's, so a holder that died frees it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / f"{identity.key}.turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            # By short looks: a blocking `flock` would keep a thread when this run is cancelled.
            while not _taken(descriptor):  # noqa: ASYNC110 (no event crosses processes)
                await asyncio.sleep(_LOOK_S)
            yield
        finally:
            os.close(descriptor)

    def find(self, identity: Identity, output: Path) -> Ran | None:
        """Return an earlier result and write its output to a file; None if there is none that can be read."""
        entry = self._folder / identity.key
        try:
            ran = msgspec.json.decode((entry / "result.json").read_bytes(), type=Ran)
            text = (entry / "output.zst").read_bytes()
            output.write_bytes(zstandard.ZstdDecompressor().decompress(text, max_output_size=_OUTPUT_LIMIT))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, zstandard.ZstdError) as error:
            _log.warning("base_result_unreadable", entry=str(entry), error=str(error))
            shutil.rmtree(entry, ignore_errors=True)
            return None
        return msgspec.structs.replace(ran, cached=True)

    def keep(self, identity: Identity, ran: Ran, output: Path) -> None:
        """Store a result; of two that arrive together, the first stays."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".draft-{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            (draft / "result.json").write_bytes(msgspec.json.encode(ran))
            (draft / "output.zst").write_bytes(zstandard.ZstdCompressor().compress(output.read_bytes()))
            os.replace(draft, self._folder / identity.key)
        except OSError as error:
            # An entry that is there already cannot be replaced by a folder; anything else costs a run, no more.
            _log.debug("base_result_not_kept", key=identity.key, error=str(error))
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
