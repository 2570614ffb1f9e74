"""Reads and writes task files: YAML or JSON, several documents, patches inlined, every fault named by file and field."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from autopilot.cli.failure import UsageError
from contracts.task import TaskSpec
from services.scheduler.domain.batch import Fault, faults
from services.scheduler.domain.reading import joined, read

#: Bytes; a larger patch belongs into a branch.
MAX_PATCH = 2_000_000


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A task as somebody wrote it down."""

    #: How complaints name the place, for example `tasks.yaml: document 2`.
    source: str
    #: Decoded, not yet checked.
    data: Any

    def named(self, field: str) -> str:
        """Name one of its fields."""
        return f"{self.source}: {field}" if field else self.source


def load(path: Path) -> TaskSpec:
    """Read a file that holds one task. Raises UsageError."""
    given = documents(path)
    if len(given) > 1:
        raise UsageError(f"{path}: holds {len(given)} tasks where one is wanted")
    return checked(given)[0]


def documents(path: Path) -> list[Given]:
    """Read the tasks of a file, patches inlined; `-` is standard input. Raises UsageError."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    try:
        # Nothing between two markers is no task.
        found = [data for data in yaml.load_all(text, Loader=_StrictLoader) if data is not None]
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not valid YAML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: is nested too deeply") from error
    given = []
    for number, data in enumerate(found or [None], start=1):
        source = str(path) if len(found) < 2 else f"{path}: document {number}"
        if not isinstance(data, dict):
            raise UsageError(f"{source}: a task file is a mapping with title, repos, …")
        _inline(data, path, source)
        given.append(Given(source=source, data=data))
    return given


def checked(given: Sequence[Given]) -> list[TaskSpec]:
    """Check tasks as the scheduler does, each and together. Raises UsageError that names every fault."""
    specs = []
    wrong: list[str] = []
    for one in given:
        spec, found = read(one.data, TaskSpec)
        wrong += [f"{one.named(field)}: {detail}" for field, detail in found]
        if spec is not None:
            specs.append(spec)
    if not wrong:
        wrong = complaints(given, faults(specs))
    if wrong:
        raise UsageError("\n".join(wrong))
    return specs


def complaints(given: Sequence[Given], found: Iterable[Fault]) -> list[str]:
    """Put faults of a batch into words of whoever wrote its tasks."""
    return [
        f"{fault.field}: {fault.detail}"
        if fault.task is None
        else f"{given[fault.task].named(fault.field)}: {fault.detail}"
        for fault in found
    ]


def dump(specs: Sequence[TaskSpec]) -> str:
    """Write a file that `documents` reads as these tasks; what is as by default is left out."""
    return yaml.dump_all(
        [_sparse(spec) for spec in specs],
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=110,
        explicit_start=len(specs) > 1,
    )


def patch_text(file: Path, named: str) -> str:
    """Read a patch. Raises UsageError that begins with `named`."""
    try:
        if file.stat().st_size > MAX_PATCH:
            raise UsageError(f"{named}: {file} is larger than {MAX_PATCH} bytes")
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{named}: {str(file)[:200]!r} cannot be read: {error}") from error


def _inline(data: dict[str, Any], path: Path, source: str) -> None:
    """Replace patch file names by their text, and relative repository paths by absolute ones."""
    patch = data.get("patch")
    if isinstance(patch, str):
        data["patch"] = _patch(patch, path, f"{source}: patch")
    elif isinstance(patch, dict):
        data["patch"] = {
            name: _patch(value, path, joined(f"{source}: patch", str(name))) for name, value in patch.items()
        }
    repos = data.get("repos")
    for repo in repos if isinstance(repos, list) else ():
        if isinstance(repo, dict) and isinstance(url := repo.get("url"), str) and "://" not in url:
            local = path.parent / url
            # Unlike the method of the path, it takes what cannot be a name for one that does not exist.
            if os.path.exists(local):
                repo["url"] = str(local.resolve())


def _patch(value: Any, path: Path, named: str) -> Any:
    if not isinstance(value, str) or "\n" in value or not value:
        return value
    return patch_text(path.parent / value, named)


def _sparse(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            return {
                field.name: _sparse(given)
                for field in msgspec.structs.fields(value)
                if (given := getattr(value, field.name)) != _default(field)
            }
        case tuple():
            return [_sparse(inner) for inner in value]
        case _:
            return value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such, so that people can read and edit it."""


#: Line breaks that YAML knows and no other writer escapes: read back from plain text, they are spaces.
_ODD_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _ODD_BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is given twice: the second would silently win."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=deep)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is given twice", key_node.start_mark
            )
        seen.add(key)
    return dict(yaml.SafeLoader.construct_mapping(loader, node, deep))


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
