"""Every event that was ever written can be read: one payload of each schema version of each type is kept here.

`payloads/<type>.v<version>.json` is what some release wrote. All versions of a type tell the same fact. A payload is
never changed: when a class gets a new schema version, its payload is added and the old ones stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.catalogue import EVENTS, registry
from contracts.message import Event, wire_type

PAYLOADS = Path(__file__).with_name("payloads")
CASES = [(cls, version) for cls in EVENTS for version in range(1, cls.schema_version + 1)]


def payload(cls: type[Event], version: int) -> bytes:
    return (PAYLOADS / f"{wire_type(cls)}.v{version}.json").read_bytes()


def holds(whole: Any, part: Any) -> bool:
    """Tell whether everything in `part` is in `whole`, which may say more: fields with defaults."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and holds(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(holds, whole, part))
    return bool(whole == part)


@pytest.mark.parametrize(("cls", "version"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_what_was_written_is_read_as_the_same_fact(cls: type[Event], version: int) -> None:
    event = registry.decode(wire_type(cls), payload(cls, version), version)
    assert type(event) is cls
    assert event == registry.decode(wire_type(cls), payload(cls, cls.schema_version), cls.schema_version)
    if version == cls.schema_version:
        kept = msgspec.json.decode(msgspec.json.encode(event))
        assert holds(kept, msgspec.json.decode(payload(cls, version))), "a field has been dropped or renamed"


def test_no_payload_is_left_of_a_type_that_is_gone() -> None:
    known = {f"{wire_type(cls)}.v{version}.json" for cls, version in CASES}
    assert {path.name for path in PAYLOADS.iterdir()} == known
