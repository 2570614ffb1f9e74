"""Turns decoded JSON or YAML into a typed value, or says everything that does not fit, field by field.

msgspec stops at the first fault; who writes a task file wants to see all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from services.scheduler.domain.submission import located

T = TypeVar("T")
#: Characters of a foreign name that are repeated in a complaint.
SHOWN = 60


def read(data: Any, type_: type[T]) -> tuple[T | None, list[tuple[str, str]]]:
    """Return the value, or None with every fault as (field, detail); the field is empty for the whole."""
    try:
        return msgspec.convert(data, type_), []
    except msgspec.ValidationError:
        return None, list(_faults(data, type_, ""))


def _faults(data: Any, type_: Any, place: str) -> Iterator[tuple[str, str]]:
    try:
        msgspec.convert(data, type_)
        return
    except msgspec.ValidationError as error:
        within, message = located(error)
    inside = list(_inside(data, type_, place))
    # What holds only well-formed parts is itself at fault: too short, or of another kind.
    yield from inside or [(place + within if within.startswith("[") else joined(place, within), message)]


def _inside(data: Any, type_: Any, place: str) -> Iterator[tuple[str, str]]:
    if get_origin(type_) is Annotated:
        type_, constraint = get_args(type_)[:2]
        most = getattr(constraint, "max_length", None)
        if isinstance(data, list) and most is not None and len(data) > most:
            yield place, f"{len(data)} of them, and {most} are the most that are taken"
            return
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        if isinstance(data, dict):
            yield from _fields(data, type_, place)
    elif get_origin(type_) is tuple and isinstance(data, list):
        for number, item in enumerate(data):
            yield from _faults(item, get_args(type_)[0], f"{place}[{number}]")


def _fields(data: dict[Any, Any], type_: type[msgspec.Struct], place: str) -> Iterator[tuple[str, str]]:
    known = {field.name: field for field in msgspec.structs.fields(type_)}
    for name in data:
        if name not in known:
            shown = str(name)[:SHOWN]
            near = get_close_matches(shown, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
            yield joined(place, shown), f"unknown field `{shown}`: {hint}"
    for name, field in known.items():
        if name in data:
            yield from _faults(data[name], field.type, joined(place, name))
        elif field.required:
            yield joined(place, name), f"missing required field `{name}`"


def joined(place: str, name: str) -> str:
    """Name a field within a place; either may be empty."""
    return f"{place}.{name}" if place and name else place or name
