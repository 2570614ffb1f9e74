"""Makes answers in the shapes of GitHub's published REST description, and holds answers to them.

`githubkit` ships models generated from that description: whatever a model requires and a test does not care about
is filled in by type, so that the server answers with everything GitHub would.
"""

from __future__ import annotations

import types
import typing
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import githubkit_schemas.latest.models as models
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def shaped(name: str, /, **given: Any) -> dict[str, Any]:
    """Return what GitHub answers for a schema, with the given fields; raises if they do not fit it."""
    model = _model(name)
    document = _merged(_required(name), given)
    model.model_validate(document)
    return document


def _merged(filled: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    both = {key: (filled.get(key), value) for key, value in given.items()}
    return filled | {
        key: _merged(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
        for key, (old, new) in both.items()
    }


def _model(name: str) -> type[BaseModel]:
    return typing.cast("type[BaseModel]", getattr(models, name))


@cache
def _required(name: str) -> dict[str, Any]:
    return _fill(_model(name))


def _fill(model: type[BaseModel]) -> dict[str, Any]:
    model.model_rebuild()
    return {
        field.alias or name: _value(field.annotation, field)
        for name, field in model.model_fields.items()
        if field.is_required()
    }


def _value(kind: Any, field: FieldInfo) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        return _value(arguments[0], field)
    if origin in (Union, types.UnionType):
        nested = next(
            (one for one in arguments if isinstance(one, type) and issubclass(one, BaseModel)), None
        )
        # What may be null is null, but an object that may be null is given: tests set fields in it.
        if type(None) in arguments:
            return _fill(nested) if nested is not None else None
        return _value(arguments[0], field)
    if origin is Literal:
        return arguments[0]
    if origin in (list, dict):
        return origin()
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _fill(kind)
    if kind is type(None):
        return None
    plain = {str: "x", int: 1, float: 1.0, bool: False, dict: {}, list: [], Any: {}}
    if kind in plain:
        return plain[kind]
    if kind in (datetime, date):
        return datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    raise AssertionError(f"no value for {kind} ({field})")
