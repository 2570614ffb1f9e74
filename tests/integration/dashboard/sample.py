"""The smallest instance of any event class, so that no class of the catalogue is left out of a test."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import NODEFAULT
from msgspec import inspect as shape

from contracts.message import Event


def smallest(cls: type[Event]) -> Event:
    """Make an instance with nothing in it but what has to be there."""
    made = _value(shape.type_info(cls))
    assert isinstance(made, cls)
    return made


def _value(type_: Any) -> Any:
    match type_:
        case shape.StructType():
            required = {
                field.name: _value(field.type)
                for field in type_.fields
                if field.default is NODEFAULT and field.default_factory is NODEFAULT
            }
            return type_.cls(**required)
        case shape.StrType():
            return "x"
        case shape.IntType():
            return type_.ge or 1
        case shape.FloatType():
            return 1.0
        case shape.BoolType():
            return True
        case shape.DateTimeType():
            return datetime(2026, 1, 1, tzinfo=UTC)
        case shape.LiteralType():
            return type_.values[0]
        case shape.UnionType():
            return _value(type_.types[0])
        case shape.VarTupleType():
            return tuple(_value(type_.item_type) for _ in range(type_.min_length or 0))
        case shape.TupleType():
            return tuple(map(_value, type_.item_types))
        case shape.DictType():
            return {}
        case shape.NoneType():
            return None
        case _:
            raise AssertionError(f"no sample for {type_}")
