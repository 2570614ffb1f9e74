"""Keeps the trees that commands run on: exported, brought back to the base where protected, copied, compared."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec

from libs.verification.paths import Layout, is_compiled, is_configuration


class Tree(Protocol):
    """What this package asks of a private clone of a repository."""

    async def tree(self, commit: str) -> str: ...
    async def files(self, commit: str) -> Sequence[Entry]: ...
    async def blob(self, commit: str, path: str) -> bytes | None: ...
    async def changes(self, base: str, commit: str) -> Sequence[Edit]: ...
    async def diff(self, base: str, commit: str) -> bytes: ...
    async def export(self, commit: str, path: Path) -> None: ...


class Entry(Protocol):
    """One file of a commit."""

    @property
    def path(self) -> str: ...


class Edit(Protocol):
    """One path that differs between two commits."""

    @property
    def path(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def new_mode(self) -> str: ...
    @property
    def added(self) -> int: ...
    @property
    def removed(self) -> int: ...
    @property
    def binary(self) -> bool: ...


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Digests of all files below a tree that could change what a run means."""

    files: dict[str, str]

    def differing(self, later: Snapshot) -> tuple[str, ...]:
        """Name what appeared, went or changed."""
        return tuple(
            sorted(
                path
                for path in self.files.keys() | later.files.keys()
                if self.files.get(path) != later.files.get(path)
            )
        )


def snapshot(tree: Path, layout: Layout, permitted: Collection[str] = ()) -> Snapshot:
    """Digest every file that is protected, or would be if it stood on the base; follows no link."""
    files: dict[str, str] = {}
    for folder, folders, names in os.walk(tree):
        below = os.path.relpath(folder, tree)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*names, *links]:
            path = name if below == "." else f"{below}/{name}"
            steering = is_configuration(path) or is_compiled(path)
            if (steering or (path in layout.files and layout.is_protected(path))) and path not in permitted:
                files[path] = _digest(Path(folder, name))
    return Snapshot(files=files)


def _digest(path: Path) -> str:
    try:
        status = path.lstat()
        mode = status.st_mode
        if stat.S_ISLNK(mode):
            return f"link {os.readlink(path)}"
        if not stat.S_ISREG(mode):
            return f"mode {stat.S_IFMT(mode)}"
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            # The time of the last change is the kernel's: what was altered and put back shows in it.
            return f"{hashlib.file_digest(stream, 'sha256').hexdigest()} {status.st_ctime_ns}"
    except OSError as error:
        return f"unreadable {error.errno}"


def bring_back(tree: Path, base: Path, restore: Iterable[str], remove: Iterable[str]) -> None:
    """Put protected files of the base into the change's tree, and take away what must not be there."""
    for path in remove:
        _clear(tree / path)
    for path in restore:
        target = tree / path
        _make_way(tree, PurePosixPath(path).parent)
        _clear(target)
        source = base / path
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
        elif source.is_file():
            shutil.copy2(source, target)


def _make_way(tree: Path, folder: PurePosixPath) -> None:
    place = tree
    for part in folder.parts:
        place = place / part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            place.unlink()
        place.mkdir(exist_ok=True)


def _clear(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def copy(tree: Path, target: Path) -> None:
    """Copy a tree so that a command may write to it without another one noticing."""
    shutil.copytree(tree, target, symlinks=True, ignore=_only_ordinary)


def _only_ordinary(folder: str, names: list[str]) -> list[str]:
    """Leave out sockets, pipes and devices, which a set-up may have left and which cannot be copied."""
    kinds = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
    return [
        name
        for name in names
        if not any(kind(os.lstat(os.path.join(folder, name)).st_mode) for kind in kinds)
    ]
