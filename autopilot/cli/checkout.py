"""Looks at a user's own checkout; nothing is ever written there, and none of its hooks is run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from autopilot.cli.failure import UsageError

#: Seconds for one question to git.
_GIT_S = 20
#: `host:path` and `user@host:path`, as git takes them.
_SCP = re.compile(r"^[\w.@-]+:")
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """A repository of this machine."""

    #: Its top level; the repository itself where there is no work tree.
    top: Path
    #: What is checked out: a branch, or a commit where none is.
    base: str
    #: How many files differ from the last commit.
    uncommitted: int


def is_address(text: str) -> bool:
    """Tell whether a repository is named by an address, and not by a path of this machine."""
    return not os.path.exists(text) and ("://" in text or bool(_SCP.match(text)))


def look(place: Path) -> Checkout:
    """Find the checkout that a directory lies in. Raises UsageError."""
    if not os.path.isdir(place):
        raise UsageError(f"{str(place)[:200]}: there is no such directory; give a checkout or a git URL")
    kind = ask(place, "rev-parse", "--is-bare-repository", "--absolute-git-dir")
    if kind is None:
        raise UsageError(f"{place}: is no git checkout, or none that git trusts: see `git -C {place} status`")
    bare, _, directory = kind.partition("\n")
    top = Path(directory) if bare == "true" else Path(ask(place, "rev-parse", "--show-toplevel") or directory)
    commit = ask(top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if not commit:
        raise UsageError(f"{top}: has no commit yet")
    changed = "" if bare == "true" else ask(top, "status", "--porcelain") or ""
    return Checkout(
        top=top,
        base=ask(top, "symbolic-ref", "--quiet", "--short", "HEAD") or commit,
        uncommitted=len(changed.splitlines()),
    )


def base_of(top: Path, ref: str) -> str:
    """Return how a task names a revision of a checkout: branches and tags by name, others by commit. Raises UsageError."""
    commit = ask(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if not commit:
        raise UsageError(f"{ref!r} is no branch, tag or commit of {top}")
    for kind in ("heads", "tags"):
        if ask(top, "show-ref", "--verify", "--quiet", f"refs/{kind}/{ref}") is not None:
            return ref
    return commit


def name_of(url: str) -> str:
    """Derive a repository's name from its address or path."""
    last = re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git")
    return _NAME.sub("-", last).lstrip("-._")[:64] or "repository"


def tools(top: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Find the programs of a virtual environment: the repository's own, or the one that is active."""
    places = [] if top is None else [top / ".venv", top / "venv"]
    if active := environ.get("VIRTUAL_ENV"):
        places.append(Path(active).absolute())
    return next((place / "bin" for place in places if (place / "bin").is_dir()), None)


def ask(place: Path, *arguments: str) -> str | None:
    """Ask git about a directory; None where it has no answer. Raises UsageError where git cannot be run."""
    # Variables of a hook that calls us would name another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(place), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_S,
            stdin=subprocess.DEVNULL,
            env={**environment, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{place}: git cannot be asked: {error}") from error
    return done.stdout.strip() if done.returncode == 0 else None
