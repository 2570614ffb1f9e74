"""How far a batch is: what its tasks wait for, and who holds up how many of them."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.progress import progress
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from tests.unit.scheduler import facts

QUEUED = task.fold(list(task.decide(facts.submit(key="k"), Task())))


def member(name: str, *needs: str, phase: str = "queued") -> Task:
    """A task of a batch."""
    return msgspec.structs.replace(QUEUED, task_id=name, depends_on=needs, phase=phase)  # type: ignore[arg-type]


def test_one_that_failed_holds_up_all_behind_it() -> None:
    tasks = [
        member("a", phase="incident"),
        member("b", "a", phase="parked"),
        member("c", "b", "d"),
        member("d", phase="done"),
    ]
    found = progress("b1", tasks, {}, None)
    assert {one.id: one.blocked_by for one in found.tasks} == {"a": (), "b": ("a",), "c": ("b",), "d": ()}
    assert [(one.id, one.phase, one.blocks) for one in found.blockers] == [("a", "incident", 2)]
    assert (found.ended, found.phases) == (False, {"incident": 1, "parked": 1, "queued": 1, "done": 1})


def test_tasks_outside_of_the_batch_count_as_long_as_they_are_not_done() -> None:
    tasks = [member("a", "x", "y")]
    others = {"x": member("x", phase="running"), "y": member("y", phase="done")}
    found = progress("b1", tasks, others, None)
    assert found.tasks[0].blocked_by == ("x",)
    assert [(one.id, one.blocks) for one in found.blockers] == [("x", 1)]


def test_of_what_has_ended_nobody_is_held_up() -> None:
    found = progress("b1", [member("a", phase="done"), member("b", "a", phase="cancelled")], {}, None)
    assert (found.ended, found.blockers) == (True, ())


@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 11)), st.sampled_from(["queued", "done", "incident"])), max_size=12
    )
)
def test_who_holds_up_how_many_is_what_following_every_path_gives(given_: list[tuple[set[int], str]]) -> None:
    tasks = [
        # Only backwards: a batch with a cycle is never accepted.
        member(f"t{place}", *(f"t{one}" for one in sorted(needs) if one < place), phase=phase)
        for place, (needs, phase) in enumerate(given_)
    ]
    if not tasks:
        return
    found = progress("b1", tasks, {}, None)
    blocked = {one.id: one.blocked_by for one in found.tasks}

    def roots(name: str) -> set[str]:
        return {name} if not blocked[name] else {root for one in blocked[name] for root in roots(one)}

    expected: dict[str, int] = {}
    for name in blocked:
        for root in roots(name) - {name}:
            expected[root] = expected.get(root, 0) + 1
    assert {one.id: one.blocks for one in found.blockers} == expected
