"""Prepares what a command finds around the tree: variables, interpreters, and the observer's folder."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from string import Template
from types import MappingProxyType

import msgspec

from libs.verification.types import RequestError

#: What `$PATH` means in a task: the sandbox's own programs, never the PATH of whoever runs the product.
BASE_PATH = "/usr/local/bin:/usr/bin:/bin"
#: Where a command finds the tree: the same on both sides, so that nothing a test prints tells them apart.
TREE = "/checkout"
_OURS = ("PYTHONPATH", "PYTEST_ADDOPTS", "PATH")
_SHIMMED = ("python", "python3", "pytest", "py.test", "coverage")
_PROBE = Path(__file__).parent / "probe"
#: Files of a handed-over folder by the ending of their module's name; pytest loads the one that ends in `o`.
OBSERVER: Mapping[str, Path] = MappingProxyType({"o": _PROBE / "observer.py", "w": _PROBE / "watch.py"})
_SHIM = """#!/bin/sh
here={here}
rest=$PATH: PATH=
while [ -n "$rest" ]; do
  part=${{rest%%:*}} rest=${{rest#*:}}
  [ "$part" = "$here/bin" ] || PATH=$PATH${{PATH:+:}}$part
done
export PATH PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}$here"
real=$(command -v {name}) || {{ echo "{name}: not found" >&2; exit 127; }}
exec "$real" "$@"
"""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds the tree in every command of one repository."""

    env: dict[str, str]
    #: Absolute directories that the task's variables name; the command may read them.
    directories: tuple[str, ...]
    #: Digest of variables, interpreters, installed packages, and what is in the directories.
    digest: str


def surround(env: Mapping[str, str]) -> Surroundings:
    """Work out the surroundings from a task's variables. Raises `RequestError` for a reserved name."""
    expanded: dict[str, str] = {"PATH": BASE_PATH}
    for name, value in env.items():
        if name.startswith(("AUTOPILOT_", "LD_")) or not name.replace("_", "a").isalnum():
            raise RequestError(f"env: the name {name!r} is reserved or not allowed")
        whole = Template(value).safe_substitute({"PATH": BASE_PATH, **expanded})
        expanded[name] = ":".join(_straight(part) for part in whole.split(":"))
    named = {
        part
        for name, value in expanded.items()
        if name in env
        for part in value.split(":")
        if part.startswith("/") and os.path.isdir(part)
    }
    directories = tuple(sorted(named - set(BASE_PATH.split(":"))))
    return Surroundings(env=expanded, directories=directories, digest=_digest(expanded, directories))


def _straight(part: str) -> str:
    """Take `..` out of a directory's name: in the sandbox there is nothing to go up from."""
    return os.path.normpath(part) if part.startswith("/") and os.path.isdir(part) else part


def _digest(env: Mapping[str, str], directories: tuple[str, ...]) -> str:
    parts = [f"{name}={value}" for name, value in sorted(env.items())]
    parts += [_interpreter(name, env["PATH"]) for name in _SHIMMED]
    parts += [f"{place} {_changed(place)}" for place in _installed()]
    for directory in directories:
        parts += _held(directory)
        root = Path(directory).parent
        if (root / "pyvenv.cfg").is_file():
            parts.append((root / "pyvenv.cfg").read_text(errors="replace"))
        for packages in sorted(root.glob("lib/python*/site-packages")):
            # A record lists every installed file with its digest: packages that differ have records that do.
            for record in sorted(packages.glob("*.dist-info/RECORD")):
                parts.append(f"{record.parent.name} {hashlib.sha256(record.read_bytes()).hexdigest()}")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _installed() -> list[str]:
    """List where the machine's own programs and packages are: what is installed or upgraded there renews a directory."""
    places = BASE_PATH.split(":")
    roots = sorted({Path(place).parent for place in places})
    packages = [str(found) for root in roots for found in sorted(root.glob("lib/python3*/*-packages"))]
    return [*places, *packages]


def _changed(place: str) -> int:
    try:
        return os.stat(place).st_mtime_ns
    except OSError:
        return 0


def _held(directory: str) -> list[str]:
    """Tell the files of a directory apart from those that were there under the same names before."""
    found = []
    for name in sorted(os.listdir(directory)):
        with suppress(OSError):
            status = os.stat(f"{directory}/{name}")
            if stat.S_ISREG(status.st_mode):
                found.append(f"{directory}/{name} {status.st_size} {status.st_mtime_ns}")
    return found


def _interpreter(name: str, path: str) -> str:
    found = shutil.which(name, path=path)
    if found is None:
        return f"{name} none"
    real = os.path.realpath(found)
    status = os.stat(real)
    return f"{name} {found} {real} {status.st_size} {status.st_mtime_ns}"


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """The observer's folder for one command: where it lies, where the command sees it, what it is called."""

    source: Path
    target: str
    module: str


def hand_over(workdir: Path, path: str, parts: Mapping[str, Path] = OBSERVER) -> Handover:
    """Write a plugin of pytest and the programs that lead to it into a folder with an unpredictable name.

    A command such as `PYTHONPATH=. python -m pytest` sets the variable that shows the way to the observer;
    hence the programs in front of `python` and `pytest`, which add it again.
    """
    name = f"{secrets.choice('bcdfghjkmnpqrstvwxz')}{secrets.token_hex(12)}"
    handover = Handover(source=workdir / name, target=f"/opt/{name}", module=f"{name}_o")
    programs = handover.source / "bin"
    programs.mkdir(parents=True)
    for ending, part in parts.items():
        shutil.copyfile(part, handover.source / f"{name}_{ending}.py")
    versions = (f"python3.{minor}" for minor in range(8, 20))
    for program in (*_SHIMMED, *versions):
        if shutil.which(program, path=path):
            shim = programs / program
            shim.write_text(_SHIM.format(here=handover.target, name=program))
            shim.chmod(0o755)
    for each in (handover.source, programs):
        each.chmod(0o755)
    return handover


def observed(env: Mapping[str, str], handover: Handover, descriptor: int) -> dict[str, str]:
    """Add what leads pytest to the observer, and the observer to its channel."""
    own_options = env.get("PYTEST_ADDOPTS", "")
    own_path = env.get("PYTHONPATH", "")
    return plain(env) | {
        "PATH": f"{handover.target}/bin:{env['PATH']}",
        "PYTHONPATH": f"{own_path}:{handover.target}" if own_path else handover.target,
        "PYTEST_ADDOPTS": f"-p {handover.module} {own_options}".strip(),
        "AUTOPILOT_ADDOPTS": own_options,
        "AUTOPILOT_CHANNEL": f"{descriptor}:{TREE}",
    }


def plain(env: Mapping[str, str]) -> dict[str, str]:
    """Add what every command gets.

    Python writes no compiled code; what a change or its set-up adds of it is refused by path, and what appears
    during a run is seen afterwards. (A separate cache folder would cost two seconds a run: everything, the
    standard library too, would be compiled again.)
    """
    return {**env, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
