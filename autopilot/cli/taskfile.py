"""Reads task files: YAML or JSON, patches inlined, every fault named by file and field."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import msgspec
import yaml

from autopilot.cli.failure import UsageError
from contracts.task import TaskSpec
from services.scheduler.domain.submission import faults, located

#: Bytes; a larger patch belongs into a branch.
MAX_PATCH = 2_000_000


def load(path: Path) -> TaskSpec:
    """Read one task file. Raises UsageError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader underneath
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}: a task file is a mapping with title, repos, …")
    _inline(data, path)
    try:
        spec = msgspec.convert(data, TaskSpec)
    except msgspec.ValidationError as error:
        field, message = located(error)
        raise UsageError(f"{path}: {field or 'the file'}: {message}") from error
    # The scheduler would say the same, but only after it has accepted the files before this one.
    for field, detail in faults(spec, "", ()):
        raise UsageError(f"{path}: {field}: {detail}")
    return spec


def ordered(specs: Sequence[TaskSpec]) -> list[TaskSpec]:
    """Order tasks so that each comes after those whose keys it depends on. Raises UsageError naming a cycle."""
    keys: dict[str, TaskSpec] = {}
    for spec in specs:
        if spec.key is not None:
            if spec.key in keys:
                raise UsageError(f"key: {spec.key!r} names two tasks")
            keys[spec.key] = spec
    names = {id(spec): spec.key or f"task {place}" for place, spec in enumerate(specs)}
    graph = {
        names[id(spec)]: [dependency for dependency in spec.depends_on if dependency in keys]
        for spec in specs
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise UsageError(f"depends_on: dependency cycle {' -> '.join(error.args[1])}") from error
    by_name = {names[id(spec)]: spec for spec in specs}
    return [by_name[name] for name in order]


def with_ids(spec: TaskSpec, ids: dict[str, str]) -> TaskSpec:
    """Replace the keys a task depends on by the ids that the tasks got."""
    resolved = tuple(ids.get(dependency, dependency) for dependency in spec.depends_on)
    return msgspec.structs.replace(spec, depends_on=resolved)


def _inline(data: dict[str, Any], path: Path) -> None:
    """Replace patch file names by their text, and relative repository paths by absolute ones."""
    patch = data.get("patch")
    if isinstance(patch, str):
        data["patch"] = _patch(patch, path, "patch")
    elif isinstance(patch, dict):
        data["patch"] = {name: _patch(value, path, f"patch.{name}") for name, value in patch.items()}
    for repo in data.get("repos") or ():
        if isinstance(repo, dict) and isinstance(url := repo.get("url"), str) and "://" not in url:
            local = (path.parent / url).resolve()
            if local.exists():
                repo["url"] = str(local)


def _patch(value: Any, path: Path, field: str) -> Any:
    if not isinstance(value, str) or "\n" in value or not value:
        return value
    file = path.parent / value
    try:
        if file.stat().st_size > MAX_PATCH:
            raise UsageError(f"{path}: {field}: {file} is larger than {MAX_PATCH} bytes")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {field}: {file} cannot be read: {error}") from error


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is given twice: the second would silently win."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=deep)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is given twice", key_node.start_mark
            )
        seen.add(key)
    return dict(yaml.SafeLoader.construct_mapping(loader, node, deep))


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
