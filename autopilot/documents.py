"""Writes what derives from the event classes and the services' declarations, so that it is never typed twice.

`python -m autopilot.documents` writes the files; a contract test compares them with what would be written.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import msgspec

from autopilot import asyncapi
from autopilot.reference import task_file
from autopilot.schema import WRITTEN, schema, written
from autopilot.wiring import rights, services, topology
from contracts.catalogue import OWNERS, UNIONS, classes_of
from contracts.message import SUBJECT_ROOT, Event, wire_type
from libs.eventstore import rights as database
from libs.messaging.topology import render

ROOT = Path(__file__).resolve().parents[1]


def documents() -> dict[str, str]:
    """Return every derived file: path below the repository, and its text."""
    made = {
        "contracts/schemas/asyncapi.json": _json(asyncapi.document(services())),
        "docs/events.md": _catalogue(),
        "docs/task-file.md": task_file(),
        "docs/rights.txt": database.render(rights()),
        "docs/topology.txt": render(topology()),
    }
    for name in WRITTEN:
        made[f"contracts/schemas/{name}.schema.json"] = _json(written(name))
    for category in UNIONS:
        name = f"contracts/schemas/events/{category}.schema.json"
        made[name] = _json(schema(f"Events of stream {category}", UNIONS[category]))
    return made


def _json(schema: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def _catalogue() -> str:
    parts = [
        "# Events",
        "Derived from the classes in `contracts/` by `make docs`; do not edit.",
        f"Subject: `{SUBJECT_ROOT}.<stream>.<key>.<type>`; payload: JSON; CloudEvents 1.0 binary mode in the headers.",
    ]
    for category in UNIONS:
        parts.append(f"## Stream `{category}`\n\nWritten by {OWNERS[category]}.")
        parts += [_event(cls) for cls in classes_of(category)]
    return "\n\n".join(parts) + "\n"


def _event(cls: type[Event]) -> str:
    rows = "\n".join(
        f"| `{field.name}` | `{_type_name(cls, field.name)}` | {'yes' if field.required else 'no'} |"
        for field in msgspec.structs.fields(cls)
    )
    ends = " Ends the stream." if cls.ends else ""
    return (
        f"### `{wire_type(cls)}`\n\n{inspect.getdoc(cls)}{ends}\n\n"
        f"Subject `{SUBJECT_ROOT}.{cls.stream}.<{cls.key}>.{wire_type(cls)}`, schema version {cls.schema_version}.\n\n"
        f"| field | type | required |\n|---|---|---|\n{rows}"
    )


def _type_name(cls: type[Event], field: str) -> str:
    for base in cls.__mro__:
        annotations = inspect.get_annotations(base)
        if field in annotations:
            return str(annotations[field]).replace("|", "\\|")
    raise AssertionError(f"{cls.__name__} has no annotation for {field}")


def main() -> None:
    """Write the files and remove schemas of streams that are gone."""
    made = documents()
    for stale in (ROOT / "contracts" / "schemas").rglob("*.json"):
        if str(stale.relative_to(ROOT)) not in made:
            stale.unlink()
    for name, text in made.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
