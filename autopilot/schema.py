"""JSON Schemas of what people write by hand, good enough for an editor to help with.

What a field means is said once, in the `#:` comment above it; schema and documents read it from there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import msgspec

from contracts.batch import BatchSpec
from contracts.policy import Policy
from contracts.task import TaskSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: What people write, by the name of its schema.
WRITTEN: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "task": ("An Autopilot task file", TaskSpec),
    "policy": ("An Autopilot policy file", Policy),
    "batch": ("The body of POST /v1/batches", BatchSpec),
}
_FIELD = re.compile(r"^    (\w+): ")


def schema(title: str, type_: Any) -> dict[str, Any]:
    """Return the schema that msgspec makes of a type."""
    return {"$schema": DIALECT, "title": title, **msgspec.json.schema(type_)}


def written(name: str) -> dict[str, Any]:
    """Return the schema of something in `WRITTEN`: described field by field, its root without a detour."""
    title, type_ = WRITTEN[name]
    made = schema(title, type_)
    definitions = made.pop("$defs")
    for cls in classes(type_):
        for field, said in described(cls).items():
            definitions[cls.__name__]["properties"][field]["description"] = said
    root = definitions.pop(type_.__name__)
    del made["$ref"], root["title"]
    return {**made, "$id": f"urn:autopilot:schema:{name}", **root, "$defs": definitions}


@cache
def described(cls: type[msgspec.Struct]) -> dict[str, str]:
    """Return what the `#:` comments of a class say about its fields."""
    found: dict[str, str] = {}
    said: list[str] = []
    for line in inspect.getsource(cls).splitlines():
        if line.startswith("    #: "):
            said.append(line.removeprefix("    #: "))
        else:
            if said and (field := _FIELD.match(line)):
                found[field[1]] = " ".join(said)
            said = []
    return found


def classes(type_: Any) -> Iterator[type[msgspec.Struct]]:
    """List the classes that a type is made of, the outermost first; each may come more than once."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        yield type_
        for field in msgspec.structs.fields(type_):
            yield from classes(field.type)
    for inner in get_args(type_):
        yield from classes(inner)
