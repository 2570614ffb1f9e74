"""Works out which directories an interpreter named in a PATH needs to run, and no more than those."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterable, Iterator
from pathlib import Path

from libs.sandbox.command import Mount
from libs.sandbox.layout import HOME, SYSTEM

#: never shown as a whole, whatever a PATH says
_FORBIDDEN = ("/", "/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var", HOME)  # noqa: S108
_PROGRAMS = ("python", "pypy")
_MAX_LINKS = 40


def required_mounts(directories: Iterable[str]) -> tuple[Mount, ...]:
    """Return the read-only mounts that make the programs of these absolute directories work.

    For a virtual environment that is its root and the prefix of the Python that it was made from, which may
    lie in a home directory; for any other directory the directory, and the prefix of a Python found in it.
    Directories that every sandbox has, or that do not exist, need none. `/` or a home directory as a whole
    is never returned. Symbolic links on the way are made again inside.
    """
    shown: set[str] = set()
    links: dict[str, str] = {}
    for directory in directories:
        for place in _places(os.path.normpath(directory)):
            real = os.path.realpath(place)
            if _in_system(real) or (os.path.isdir(real) and _too_wide(real)):
                continue
            shown.add(real)
            if place != real:
                links[place] = real
    outermost = [place for place in shown if not any(_inside(place, other) for other in shown)]
    missing = [
        place
        for place in links
        if not any(_inside(place, other) for other in [*shown, *links]) and not _in_system(place)
    ]
    binds = (Mount(source=place, target=place) for place in sorted(outermost))
    return (*binds, *(Mount(source=links[place], target=place, link=True) for place in sorted(missing)))


def _places(directory: str) -> Iterator[str]:
    """Everything that the programs of a directory need: directories, programs, links to either."""
    if not os.path.isabs(directory) or not os.path.isdir(directory):
        return
    yield directory
    yield from _behind(directory)
    root = os.path.dirname(directory)
    configuration = os.path.join(root, "pyvenv.cfg")
    if os.path.isfile(configuration):
        yield root
        home = _home_of(configuration)
        if home:
            yield from _prefix(os.path.join(home, "python"))
            yield from _behind(home)


def _home_of(configuration: str) -> str:
    try:
        lines = Path(configuration).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == "home" and os.path.isabs(value.strip()):
            return os.path.normpath(value.strip())
    return ""


def _behind(directory: str) -> Iterator[str]:
    """The prefixes and links behind each Python of a directory."""
    try:
        names = [name for name in os.listdir(directory) if name.startswith(_PROGRAMS)]
    except OSError:
        return
    for name in names:
        path = os.path.join(directory, name)
        for _ in range(_MAX_LINKS):
            yield from _prefix(path)
            try:
                link = os.readlink(path)
            except OSError:
                break
            path = os.path.normpath(os.path.join(os.path.dirname(path), link))
            # A link that leads out of the directory, or on from there, has to exist inside as well.
            if os.path.isfile(path):
                yield path
        yield from _prefix(os.path.realpath(path))


def _prefix(program: str) -> Iterator[str]:
    """The installation that a program belongs to, if it is a Python one.

    `~/.local` has a `lib/pythonX.Y` too, next to keyrings; only a standard library makes a prefix.
    """
    prefix = os.path.dirname(os.path.dirname(program))
    if any(Path(prefix).glob("lib/py*/os.py")):
        yield prefix


def _in_system(place: str) -> bool:
    return any(place == system or _inside(place, system) for system in SYSTEM)


def _too_wide(place: str) -> bool:
    if place in _FORBIDDEN or os.path.dirname(place) == "/home":
        return True
    homes = {os.path.expanduser("~")}
    with contextlib.suppress(KeyError):  # a user id without a name has no other home
        homes.add(pwd.getpwuid(os.geteuid()).pw_dir)
    homes = {os.path.realpath(home) for home in homes} - {"/"}
    return any(place == home or _inside(home, place) for home in homes)


def _inside(place: str, directory: str) -> bool:
    return place.startswith(directory.rstrip("/") + "/")
