"""What is checked of a task before it is accepted: every fault names the field; nothing is half created."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from contracts.budget import spends
from contracts.task import Engine, TaskSpec

#: Engines that this release carries.
ENGINES = ("auto", "command", "repair", "patch", "noop")
#: Tokens that a task or a ceiling may have at most.
MOST_TOKENS = 10**12
_SURROGATE = re.compile("[\ud800-\udfff]")


def with_engine(spec: TaskSpec, agent: bool) -> TaskSpec:
    """Say what `auto` means for a task: its patch; else the installation's agent, if there is one; else `repair`."""
    if spec.engine != "auto":
        return spec
    chosen: Engine = "patch" if spec.patch else "command" if agent else "repair"
    return msgspec.structs.replace(spec, engine=chosen)


def located(error: msgspec.ValidationError) -> tuple[str, str]:
    """Split what msgspec says into the field, empty for the whole, and what is wrong with it."""
    message, _, path = str(error).partition(" - at `")
    return path.rstrip("`").removeprefix("$."), message


def faults(spec: TaskSpec, task_id: str, unknown: Collection[str]) -> list[tuple[str, str]]:
    """List why a task cannot be carried out as written: (field, detail). `unknown` are dependencies that do not exist."""
    return _dependency_faults(spec, task_id, unknown) + content_faults(spec)


def _dependency_faults(spec: TaskSpec, task_id: str, unknown: Collection[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for place, dependency in enumerate(spec.depends_on):
        field = f"depends_on[{place}]"
        if dependency in (task_id, spec.key):
            found.append(
                (field, f"dependency cycle {dependency} -> {dependency}: a task cannot depend on itself")
            )
        elif dependency in unknown:
            found.append((field, f"there is no task {dependency!r}"))
    return found


def content_faults(spec: TaskSpec) -> list[tuple[str, str]]:
    """List what is wrong with a task whatever it depends on: (field, detail)."""
    found = [*_unrecordable(msgspec.to_builtins(spec), ""), *_names(spec)]
    if not spec.title.strip():
        found.append(("title", "says nothing"))
    if spec.budget.tokens > MOST_TOKENS:
        found.append(("budget.tokens", f"{MOST_TOKENS} are the most that are taken"))
    names = Counter(repo.name for repo in spec.repos)
    if doubled := [name for name, count in names.items() if count > 1]:
        found.append(("repos", f"two repositories are named {doubled[0]!r}"))
    if spec.engine not in ENGINES:
        found.append(
            ("engine", f"{spec.engine!r} is not available in this release; use one of: {', '.join(ENGINES)}")
        )
    if spec.engine == "noop" and not spec.synthetic:
        found.append(("engine", "noop is accepted only with `synthetic: true`"))
    if spends(spec) and not spec.budget.tokens:
        found.append(("budget.tokens", "0 tokens are not enough for any stage that spends some"))
    if spec.engine == "patch":
        found += _patch_faults(spec)
    elif spec.patch is not None and spec.engine in ("command", "repair"):
        found.append(("patch", f"engine {spec.engine} applies no patch; leave it out, or use engine patch"))
    for place, repo in enumerate(spec.repos):
        if spec.engine != "noop" and not (repo.fail_to_pass or repo.verify.test):
            found.append(
                (
                    f"repos[{place}].verify.test",
                    "give verify.test or fail_to_pass: without a test nothing can be proven",
                )
            )
        if urlsplit(repo.url).password is not None:
            detail = "an address with a password would be recorded for ever; use ssh, or clone it and name the clone"
            found.append((f"repos[{place}].url", detail))
        for name in repo.env:
            if not name.isidentifier():
                found.append((f"repos[{place}].env", f"{name!r} is no variable name"))
        if repo.report is not None and (repo.report.startswith("/") or ".." in repo.report.split("/")):
            found.append((f"repos[{place}].report", "must be a path inside the repository"))
    if len(spec.repos) > 1 and spec.engine != "noop":
        found.append(
            (
                "repos",
                "changes across several repositories are not available in this release; submit one task for each",
            )
        )
    return found


def _names(spec: TaskSpec) -> Iterator[tuple[str, str]]:
    """Find names that end in a line break, which their pattern lets pass."""
    names = {"queue": spec.queue, "key": spec.key or ""}
    names |= {f"repos[{place}].name": repo.name for place, repo in enumerate(spec.repos)}
    yield from ((field, "ends in a line break") for field, name in names.items() if name.endswith("\n"))


def _unrecordable(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Find text that the record could not give back as it was."""
    match value:
        case str() if "\0" in value:
            yield place, "holds a NUL character"
        case str() if not value.isascii() and _SURROGATE.search(value):
            yield place, "holds half of a character (a lone surrogate)"
        case dict():
            for name, inner in value.items():
                field = f"{place}.{name}" if place else name
                yield from _unrecordable(name, place)
                yield from _unrecordable(inner, field)
        case list() | tuple():
            for number, inner in enumerate(value):
                yield from _unrecordable(inner, f"{place}[{number}]")
        case _:
            pass


def _patch_faults(spec: TaskSpec) -> list[tuple[str, str]]:
    if spec.patch is None or spec.patch == "" or spec.patch == {}:
        return [("patch", "engine patch needs the text of a patch")]
    if isinstance(spec.patch, dict):
        unknown = set(spec.patch) - {repo.name for repo in spec.repos}
        if unknown:
            return [("patch", f"names {sorted(unknown)[0]!r}, which is none of the repositories")]
    return []
