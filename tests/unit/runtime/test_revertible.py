"""Going back to the mark gives what was there at the mark, whatever was done since."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libs.runtime.revertible import Revertible

CHANGES = st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 9)))


def change(subject: Revertible[int, int], changes: list[tuple[int, int | None]]) -> None:
    for key, value in changes:
        if value is None:
            subject.discard(key)
        else:
            subject[key] = value


@given(CHANGES, CHANGES, CHANGES)
def test_what_was_done_since_the_mark_is_taken_back(
    kept: list[tuple[int, int | None]],
    undone: list[tuple[int, int | None]],
    later: list[tuple[int, int | None]],
) -> None:
    subject: Revertible[int, int] = Revertible()
    change(subject, kept)
    subject.mark()
    before = dict(subject)
    for changes in (undone, later):
        change(subject, changes)
        subject.undo()
        assert dict(subject) == before
