"""A task from options of the command line instead of a file."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from autopilot.cli import checkout, taskfile
from autopilot.cli.failure import UsageError
from autopilot.cli.taskfile import Given

#: Which option says what a field of the task says.
_OPTIONS = {
    "title": "--title",
    "body": "--body",
    "key": "--key",
    "engine": "--engine",
    "patch": "--patch",
    "priority": "--priority",
    "queue": "--queue",
    "depends_on": "--depends-on",
    "budget.wall_s": "--wall",
    "budget.memory_mb": "--memory",
    "repos[0].url": "--repo",
    "repos[0].base": "--base",
    "repos[0].setup": "--setup",
    "repos[0].env": "--env",
    "repos[0].verify.test": "--test",
    "repos[0].fail_to_pass": "--fail-to-pass",
}
#: The innermost part of a field's name.
_LAST = re.compile(r"(^|\.)[^.\[\]]*$|\[\d+\]$")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was given; None and empty mean that it was not."""

    repo: str | None = None
    title: str | None = None
    body: str | None = None
    test: str | None = None
    fail_to_pass: tuple[str, ...] = ()
    base: str | None = None
    setup: str | None = None
    env: tuple[str, ...] = ()
    patch: Path | None = None
    engine: str | None = None
    priority: str | None = None
    queue: str | None = None
    depends_on: tuple[str, ...] = ()
    wall: int | None = None
    memory: int | None = None
    key: str | None = None

    @property
    def named(self) -> list[str]:
        """List the options that were given."""
        fields = msgspec.structs.asdict(self)
        return [
            f"--{name.replace('_', '-')}"
            for name, value in fields.items()
            if value is not None and value != ()
        ]


class FromOptions(Given, frozen=True, kw_only=True):
    """A task from options: complaints name them."""

    source: str = "the options"
    #: What was read from the surroundings and should be known.
    notes: tuple[str, ...] = ()

    def named(self, field: str) -> str:
        """Name the option that says what a field says."""
        while field and field not in _OPTIONS:
            field = _LAST.sub("", field)
        return _OPTIONS.get(field, self.source)


def task(options: Options) -> FromOptions:
    """Make a task of options and of the checkout that they name. Raises UsageError."""
    if options.repo is None:
        raise UsageError("give task files, or --repo and --title: see `autopilot submit --help`")
    if options.title is None:
        raise UsageError("--title: say in a line what shall be different")
    top, repo, notes = _repository(options.repo, options.base)
    repo["env"], found = _environment(options.env, top)
    repo |= _present(setup=options.setup, fail_to_pass=list(options.fail_to_pass))
    if options.test is not None:
        repo["verify"] = {"test": options.test}
    data = _present(
        key=options.key,
        title=options.title,
        body=None if options.body is None else _body(options.body),
        repos=[repo],
        engine=options.engine or (None if options.patch is None else "patch"),
        patch=None if options.patch is None else taskfile.patch_text(options.patch, "--patch"),
        priority=options.priority,
        queue=options.queue,
        depends_on=list(options.depends_on),
        budget=_present(wall_s=options.wall, memory_mb=options.memory),
    )
    return FromOptions(data=data, notes=(*notes, *found))


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value not in ([], {})}


def _repository(given: str, base: str | None) -> tuple[Path | None, dict[str, Any], list[str]]:
    """Return the top level of a checkout, what the task says about it, and what should be known."""
    if checkout.is_address(given):
        return None, _present(name=checkout.name_of(given), url=given, base=base), []
    try:
        found = checkout.look(Path(given))
    except UsageError as error:
        raise UsageError(f"--repo: {error}") from error
    try:
        wanted = found.base if base is None else checkout.base_of(found.top, base)
    except UsageError as error:
        raise UsageError(f"--base: {error}") from error
    notes = [f"works on {found.top}, base {wanted}"]
    if found.uncommitted:
        files = "1 file is" if found.uncommitted == 1 else f"{found.uncommitted} files are"
        notes.append(f"{files} not committed there, and will not be seen: a task sees commits only")
    return found.top, {"name": checkout.name_of(str(found.top)), "url": str(found.top), "base": wanted}, notes


def _environment(given: tuple[str, ...], top: Path | None) -> tuple[dict[str, str], list[str]]:
    env: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise UsageError(f"--env: {one!r} is not NAME=VALUE")
        env[name] = value
    if "PATH" in env or (programs := checkout.tools(top, os.environ)) is None:
        return env, []
    note = f"its commands find programs of {programs} first; --env 'PATH=…:$PATH' says otherwise"
    return {"PATH": f"{programs}:$PATH", **env}, [note]


def _body(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--body: {given[1:]} cannot be read: {error}") from error
