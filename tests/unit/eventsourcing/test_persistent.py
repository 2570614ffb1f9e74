"""A change makes a new collection, and every older one stays what it was, however they are gone back and forth over."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.eventsourcing.persistent import PersistentMap, Row, from_plain, to_plain

CHANGES = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["insert", "remove"]), st.integers(0, 5), st.integers())
)


@given(CHANGES)
@settings(max_examples=100)
def test_every_version_of_a_map_stays_as_it_was(changes: list[tuple[int, str, int, int]]) -> None:
    versions: list[tuple[PersistentMap[int, int], dict[int, int]]] = [(PersistentMap(), {})]
    for from_, kind, key, value in changes:
        # From any earlier version, so that they branch.
        found, told = versions[from_ % len(versions)]
        if kind == "insert":
            versions.append((found.insert(key, value), {**told, key: value}))
        elif key in told:
            versions.append((found.remove(key), {one: told[one] for one in told if one != key}))
        else:
            with pytest.raises(KeyError):
                found.remove(key)
    for found, told in [*versions, *reversed(versions)]:
        assert (found.plain(), len(found)) == (told, len(told))
        assert [found.get(key) for key in range(6)] == [told.get(key) for key in range(6)]
        assert found == PersistentMap(told)
        assert sorted(found) == sorted(told)


def test_what_begins_empty_is_shared_by_nobody() -> None:
    empty: PersistentMap[str, int] = PersistentMap()
    assert empty.insert("a", 1).plain() == {"a": 1}
    assert empty.insert("b", 2).plain() == {"b": 2}
    assert empty.plain() == {}


@given(st.lists(st.one_of(st.none(), st.integers(0, 40)), max_size=60))
@settings(max_examples=100)
def test_a_row_is_first_come_first_there_whoever_leaves(steps: list[int | None]) -> None:
    row, told = Row(), dict[int, str]()
    for step in steps:
        if step is None:
            told[row.next] = f"n{row.next}"
            row = row.append(f"n{row.next}")
        elif step in told:
            row = row.remove(step)
            del told[step]
        assert (list(row), len(row), row.front) == (
            [*told.values()],
            len(told),
            next(iter(told.values()), ""),
        )


class Kept(msgspec.Struct, frozen=True):
    """A state with collections in collections."""

    row: Row = Row()
    named: PersistentMap[str, PersistentMap[int, str]] = msgspec.field(default_factory=PersistentMap)


def test_json_gives_them_back() -> None:
    row = Row().append("a").append("b").append("c").remove(1)
    state = Kept(row=row, named=PersistentMap({"x": PersistentMap({1: "one"}), "y": PersistentMap()}))
    encoded = msgspec.json.encode(state, enc_hook=to_plain)
    assert msgspec.json.decode(encoded, type=Kept, dec_hook=from_plain) == state


@pytest.mark.parametrize(("hook", "arguments"), [(to_plain, (object(),)), (from_plain, (complex, 1))])
def test_what_is_none_of_them_is_refused(hook: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(NotImplementedError):
        hook(*arguments)
