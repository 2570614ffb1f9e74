"""The reference of the task file, written from its classes."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from autopilot.schema import described, written
from contracts.task import Budget, Monitor, RepoSpec, TaskSpec, Verify

#: Where each class stands in a task file, in the order of the page.
_PLACES: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("The task", TaskSpec),
    ("Each of `repos`", RepoSpec),
    ("`verify` of a repository", Verify),
    ("`monitor` of a repository", Monitor),
    ("`budget`", Budget),
)


def task_file() -> str:
    """Return the page."""
    schema = written("task")
    parts = [
        "# The task file, field by field",
        "Derived from the classes in `contracts/task.py` by `make docs`; do not edit. How to use it: [tasks.md](tasks.md).",
    ]
    for title, cls in _PLACES:
        properties = schema["$defs"].get(cls.__name__, schema)["properties"]
        rows = "\n".join(
            f"| `{field.name}` | {_kind(properties[field.name])} | {_default(field)} | {described(cls)[field.name]} |"
            for field in msgspec.structs.fields(cls)
        )
        parts.append(
            f"## {title}\n\n{inspect.getdoc(cls)}\n\n| field | takes | default | meaning |\n|---|---|---|---|\n{rows}"
        )
    return "\n\n".join(parts) + "\n"


def _kind(field: dict[str, Any]) -> str:
    """Say in words what a field takes."""
    if "$ref" in field:
        return "mapping (below)"
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"] if one != {"type": "null"})
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    match field["type"]:
        case "string":
            return (
                "text" + _bounds(field, "Length", " characters") + (" (a name)" if "pattern" in field else "")
            )
        case "integer":
            least, most = field["minimum"], field.get("maximum")
            return f"number, {least} to {most}" if most is not None else f"number from {least}"
        case "array":
            return f"list of {_kind(field['items'])}" + _bounds(field, "Items", "")
        case "object":
            return f"names to {_kind(field['additionalProperties'])}"
        case kind:
            return {"boolean": "`true` or `false`"}[kind]


def _bounds(field: dict[str, Any], of: str, unit: str) -> str:
    most = field.get(f"max{of}")
    return f", at most {most}{unit}" if most is not None else ""


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default is msgspec.NODEFAULT:
        return "as below" if field.default_factory is not dict else "`{}`"
    return f"`{msgspec.json.encode(field.default).decode()}`"
