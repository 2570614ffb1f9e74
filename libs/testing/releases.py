"""One event type as three releases knew it, for tests of what old and future releases wrote."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from contracts.message import Event, Registry, Upcast


class _Parcel(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "parcel"
    key: ClassVar[str] = "parcel_id"
    parcel_id: str


def _in_kilograms(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "kilograms": data["pounds"] / 2}


def _in_grams(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "grams": round(data["kilograms"] * 1000)}


@cache
def first_release() -> type[Event]:
    """Return the class that weighs in pounds."""

    class Weighed(_Parcel, frozen=True, kw_only=True):
        """A parcel was weighed."""

        pounds: float

    return Weighed


@cache
def second_release() -> type[Event]:
    """Return the class that weighs in kilograms."""

    class Weighed(_Parcel, frozen=True, kw_only=True):
        """A parcel was weighed."""

        schema_version: ClassVar[int] = 2
        upcasts: ClassVar[Mapping[int, Upcast]] = {1: _in_kilograms}
        kilograms: float

    return Weighed


class Weighed(_Parcel, frozen=True, kw_only=True):
    """A parcel was weighed, as today's release says it: in grams."""

    schema_version: ClassVar[int] = 3
    upcasts: ClassVar[Mapping[int, Upcast]] = {1: _in_kilograms, 2: _in_grams}
    grams: int


today = Registry((Weighed,))
