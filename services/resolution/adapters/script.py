"""Writes `reproduce`, the script of an incident: the functions of `reproduce.sh`, and what this incident compares."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from contracts.resolution import IncidentOpened
from contracts.task import RepoSpec
from libs.git.environment import ATTRIBUTES
from libs.verification.environment import plain
from services.resolution.adapters.expectation import Check, Expectation

_FUNCTIONS = Path(__file__).with_name("reproduce.sh")
#: What the sandbox lets a process reserve beyond twice its memory, KiB.
_RESERVED_KIB = 4 * 2**20
#: How pytest was told to go on by the verifier's observer, so that exit code and failing tests are comparable; and
#: that its summary names the tests that failed.
_OBSERVED = "-rfE --continue-on-collection-errors"


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """One repository as the script finds it again."""

    spec: RepoSpec
    #: Commit and tree of the base; empty where it is not known.
    base: str = ""
    tree: str = ""
    #: Ref under which the forge keeps the base.
    ref: str = ""
    #: Variables of its commands, and directories that they name and that were there.
    env: dict[str, str] = msgspec.field(default_factory=dict)
    directories: tuple[str, ...] = ()
    #: What `python --version` said; empty if unknown.
    python: str = ""
    #: Tree that the change gives; empty where there is none, or where something secret was taken out of the change.
    change_tree: str = ""
    #: Command to the file that lists the tests which failed, relative to the repository's folder.
    failing: Mapping[str, str] = msgspec.field(default_factory=dict)


def script(incident: IncidentOpened, expectation: Expectation, repositories: tuple[Repository, ...]) -> str:
    """Write the script."""
    lines = [
        "#!/bin/sh",
        f"# {one_line(incident.title)}",
        f"# Given up at stage {incident.stage} ({incident.label}): {one_line(incident.reason)}",
        "#",
        "# usage: ./reproduce [DIRECTORY]    works in a new temporary directory unless an empty one is given",
        "# It runs the repository's own commands on the change that was refused: run it where you would run those.",
        _FUNCTIONS.read_text(),
        f"attributes={shlex.quote(ATTRIBUTES.strip())}",
        f"wall={incident.budget.wall_s}",
        f"data_kb={2 * incident.budget.memory_mb * 1024 + _RESERVED_KIB}",
        'start "$@"',
    ]
    if expectation.nothing:
        lines += [*_unseen(expectation), _call("cannot", expectation.nothing)]
    else:
        for repository in repositories:
            lines += _repository(incident, expectation, repository)
        lines += [*_unseen(expectation), "finish"]
    return "\n".join([*lines, ""])


def _unseen(expectation: Expectation) -> Iterator[str]:
    for code in dict.fromkeys(found.code for found in expectation.unseen):
        first, *more = [found.detail for found in expectation.unseen if found.code == code]
        rest = f" (and {len(more)} more, see incident.json)" if more else ""
        yield _call("unseen", f"{code}: {one_line(first)}{rest}")


def _repository(incident: IncidentOpened, expectation: Expectation, one: Repository) -> Iterator[str]:
    name = one.spec.name
    base, change = expectation.of(name, "base"), expectation.of(name, "change")
    if not (base or change):
        return
    for check in change:
        if check.kind == "source_unreadable":
            yield _call(check.kind, check.about, one.spec.url, one.spec.base)
            return
    yield ""
    if not one.base and any(check.kind == "unreadable" for check in change):
        yield _call("scratch", name)
    elif not one.base:
        yield _call("cannot", f"the base of {name} could not be read when this was filed")
        return
    else:
        object_format = "sha256" if len(one.base) == 64 else "sha1"
        yield _call("repository", name, one.base, one.tree, object_format, one.ref, one.spec.url)
    yield _in_env(one)
    if expectation.heavy:
        if one.directories:
            yield _call("needs", *one.directories)
        if one.python:
            yield _call("python_was", one.python)
    if base:
        yield from _commands(incident, one, base)
        if change:
            yield "anew"
    yield from _change(incident, one, change)


def _change(incident: IncidentOpened, one: Repository, checks: tuple[Check, ...]) -> Iterator[str]:
    refused = [check for check in checks if check.kind in _INSTEAD_OF_APPLYING]
    if refused:
        yield refused[0].kind
        return
    if not checks:
        return
    yield _call("applies", one.change_tree)
    for check in checks:
        if check.kind in ("touches", "judged"):
            yield _call(check.kind, check.about)
    commands = tuple(check for check in checks if check.kind not in ("touches", "judged"))
    if commands:
        if restored := incident.restored.get(one.spec.name, ()):
            yield _call("restore", *restored)
        yield from _commands(incident, one, commands)


_INSTEAD_OF_APPLYING = ("unreadable", "does_not_apply", "adds_submodule", "changes_nothing")


def _commands(incident: IncidentOpened, one: Repository, checks: tuple[Check, ...]) -> Iterator[str]:
    if one.spec.setup and not any(check.about == one.spec.setup for check in checks):
        yield _call("set_up", one.spec.setup)
    yield "ready"
    for check in checks:
        match check.kind:
            case "swells":
                yield _call("swells", check.about, str(incident.budget.memory_mb))
            case "exits":
                listed = one.failing.get(check.about, "") if check.side == "change" else ""
                yield _call("exits", check.about, str(check.exit_code), listed)
            case "set_up_exits":
                yield _call("set_up_exits", check.about, str(check.exit_code))
            case kind:
                yield _call(kind, check.about)


def _in_env(one: Repository) -> str:
    """Define the function that gives a command the surroundings it had: nothing of the caller's, but a PATH of theirs."""
    values = plain(one.env)
    path = values.pop("PATH", "")
    if one.spec.report is None:
        values["PYTEST_ADDOPTS"] = f"{_OBSERVED} {values.get('PYTEST_ADDOPTS', '')}".strip()
    words = " ".join(shlex.quote(f"{key}={value}") for key, value in values.items())
    return (
        'in_env() { env -i HOME="$work/.home" TMPDIR="$work/.tmp" LANG=C.UTF-8 '
        f'PATH="${{REPRODUCE_PATH:+$REPRODUCE_PATH:}}"{shlex.quote(path)} {words} "$@"; }}'
    )


def _call(function: str, *arguments: str) -> str:
    return " ".join([function, *(shlex.quote(argument) for argument in arguments)])


def one_line(text: str) -> str:
    """Put a text on one line."""
    return " ".join(text.split())
