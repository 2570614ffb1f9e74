"""Judges which paths a change touched that it must not touch, before anything is run."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Protocol

import msgspec

from libs.verification.configuration import is_mixed, steers_the_same
from libs.verification.paths import Layout, is_compiled, is_configuration, is_permitted
from libs.verification.types import Code, Problem

_LINK = "120000"
#: Names that must never resolve to a file of the change: what the run itself is made of.
_RUNNERS = frozenset(
    ("pytest", "_pytest", "pluggy", "unittest", "sitecustomize", "usercustomize", "_hashlib")
)
_STANDARD = frozenset(sys.stdlib_module_names)


class Changed(Protocol):
    """One path that differs between base and change, as the git broker tells it."""

    @property
    def path(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def new_mode(self) -> str: ...


#: Gives the content of a file on the base and on the change (None where there is none).
Contents = Callable[[str], Awaitable[tuple[bytes | None, bytes | None]]]


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from the paths of a change."""

    problems: tuple[Problem, ...]
    #: Protected files that must be brought back from the base before a run.
    restore: tuple[str, ...]
    #: Added files that must not be there during a run.
    remove: tuple[str, ...]


async def protect(
    layout: Layout,
    changes: Sequence[Changed],
    permitted: Sequence[str],
    contents: Contents,
    *,
    search_path: Collection[str] = (),
    outside_modules: Collection[str] = (),
) -> Protection:
    """Judge every path of a change against what stands on the base."""
    problems: list[Problem] = []
    restore: list[str] = []
    remove: list[str] = []
    reserved = _RUNNERS | _STANDARD | {name.partition(".")[0] for name in outside_modules}
    for change in changes:
        path = change.path
        if change.status == "A" and change.new_mode == _LINK and await _leaves_tree(path, contents):
            problems.append(_problem(Code.LINK_LEAVES_TREE, f"{path} is a link that leaves the repository"))
            remove.append(path)
        elif is_permitted(path, permitted):
            continue
        elif change.status == "A":
            if reason := _unwelcome(path, search_path, reserved, layout):
                problems.append(reason)
                remove.append(path)
        elif layout.is_protected(path) or is_compiled(path):
            if change.status == "M" and is_mixed(path) and path not in layout.named:
                before, after = await contents(path)
                if before is not None and after is not None and steers_the_same(path, before, after):
                    continue
            verb = {"M": "edits", "D": "deletes", "T": "replaces"}.get(change.status, "touches")
            problems.append(_problem(Code.PROTECTED_CHANGED, f"the change {verb} {path}, which judges it"))
            restore.append(path)
        elif change.status == "T" and change.new_mode == _LINK and await _leaves_tree(path, contents):
            problems.append(
                _problem(Code.LINK_LEAVES_TREE, f"{path} became a link that leaves the repository")
            )
            remove.append(path)
    return Protection(problems=tuple(problems), restore=tuple(restore), remove=tuple(remove))


def _problem(code: Code, detail: str) -> Problem:
    return Problem(code=code, detail=f"{detail}.")


def _unwelcome(
    path: str, search_path: Iterable[str], reserved: Collection[str], layout: Layout
) -> Problem | None:
    if is_configuration(path):
        return _problem(Code.CONFIGURATION_ADDED, f"the change adds {path}, which steers tests or tools")
    if is_compiled(path):
        return _problem(Code.CONFIGURATION_ADDED, f"the change adds {path}, code that nobody can read")
    pure = PurePosixPath(path)
    for place in {"", *search_path}:
        inside = path if not place else path.removeprefix(place + "/")
        if place and inside == path:
            continue
        module = PurePosixPath(inside).parts[0]
        top = module.split(".")[0] if "/" not in inside else module
        importable = pure.suffix == ".py" or pure.suffix == ".zip"
        known = (
            any(other.startswith(posixpath.join(place, top) + "/") for other in layout.files)
            and "/" in inside
        )
        if importable and top in reserved and not known:
            return _problem(
                Code.MODULE_SHADOWED, f"{path} takes the place of the module {top!r} of the environment"
            )
    return None


async def _leaves_tree(path: str, contents: Contents) -> bool:
    _, target = await contents(path)
    if target is None:
        return False
    text = target.decode("utf-8", "surrogateescape")
    if text.startswith("/"):
        return True
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), text))
    return resolved == ".." or resolved.startswith("../")
