"""Tasks that come together: which graphs are taken, and what is said of the rest."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.batch import MAX_TASKS
from contracts.task import TaskSpec
from services.scheduler.domain.batch import (
    MAX_CYCLES,
    Fault,
    faults,
    outside,
    read_batch,
    reference_faults,
    resolved,
)
from services.scheduler.domain.identity import TASK_ID, batch_id_of, member_id_of, task_id_of


def body(**values: Any) -> dict[str, Any]:
    """A task as a client sends it."""
    return {
        "title": "t",
        "engine": "noop",
        "synthetic": True,
        "repos": [{"name": "r", "url": "/r"}],
        **values,
    }


def one(key: str | None = None, *needs: str) -> TaskSpec:
    """A task that depends on others."""
    return msgspec.convert(body(key=key, depends_on=list(needs)), TaskSpec)


#: Graphs of up to seven tasks: who depends on whom.
graphs = st.integers(1, 7).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, size - 1), max_size=4, unique=True), min_size=size, max_size=size
    )
)


def tasks_of(graph: list[list[int]]) -> list[TaskSpec]:
    """Tasks named k0, k1, …"""
    return [one(f"k{place}", *(f"k{need}" for need in needs)) for place, needs in enumerate(graph)]


def acyclic(graph: list[list[int]]) -> bool:
    """Take away what depends on nothing that is left, until nothing is left or nothing can go."""
    left = dict(enumerate(graph))
    while free := [place for place, needs in left.items() if not set(needs) & set(left)]:
        for place in free:
            del left[place]
    return not left


@given(graphs)
def test_a_graph_is_taken_exactly_if_it_has_no_cycle(graph: list[list[int]]) -> None:
    assert (faults(tasks_of(graph)) == []) == acyclic(graph)


@given(graphs)
def test_a_cycle_that_is_named_is_one(graph: list[list[int]]) -> None:
    specs = tasks_of(graph)
    seen: set[str] = set()
    for fault in faults(specs):
        path = fault.detail.removeprefix("dependency cycle ").split(" -> ")
        assert path[0] == path[-1] == fault.key == specs[fault.task or 0].key
        for name, need in itertools.pairwise(path):
            assert int(need[1:]) in graph[int(name[1:])]
        assert not seen & set(path), "a task is in two cycles that are named"
        seen |= set(path)


@given(graphs, st.randoms())
def test_the_order_in_the_body_does_not_matter(graph: list[list[int]], random: Any) -> None:
    specs = tasks_of(graph)
    shuffled = random.sample(specs, len(specs))
    assert bool(faults(specs)) == bool(faults(shuffled))
    ids = {spec.key: f"id-of-{spec.key}" for spec in specs}

    def needs(order: list[TaskSpec]) -> dict[str | None, tuple[str, ...]]:
        found = resolved(order, [ids[spec.key] for spec in order])
        return {spec.key: one for spec, one in zip(order, found, strict=True)}

    assert needs(specs) == needs(shuffled)


def test_a_cycle_is_told_as_a_path_of_who_depends_on_whom() -> None:
    [fault] = faults([one("c", "a"), one("a", "b"), one("b", "c")])
    assert fault == Fault(task=0, key="c", field="depends_on", detail="dependency cycle c -> a -> b -> c")
    [alone] = faults([one("a", "a")])
    assert alone.detail == "dependency cycle a -> a"


def test_cycles_without_end_are_told_ten_at_a_time() -> None:
    pairs = [one(f"k{place}", f"k{place ^ 1}") for place in range(MAX_TASKS)]
    assert len(faults(pairs)) == MAX_CYCLES


def test_a_key_given_twice_is_told_at_each_of_its_tasks() -> None:
    told = faults([one("a"), one("b"), one("a"), one(), one()])
    assert [(fault.task, fault.field, fault.detail) for fault in told] == [
        (0, "key", "'a' names 2 tasks"),
        (2, "key", "'a' names 2 tasks"),
    ]


def test_a_dependency_must_be_a_key_here_or_an_existing_task() -> None:
    specs = [one("a", "b", "there", "nowhere"), one("b", "nowhere")]
    assert outside(specs) == {"there", "nowhere"}
    told = reference_faults(specs, {"there"})
    assert [(fault.task, fault.field) for fault in told] == [(0, "depends_on[2]"), (1, "depends_on[0]")]
    assert "there is no task 'nowhere'" in told[0].detail


def test_a_key_that_is_the_id_of_an_existing_task_is_refused() -> None:
    taken = task_id_of("somebody")
    specs = [one(taken), one("b", taken)]
    assert outside(specs) == {taken}
    [fault] = reference_faults(specs, {taken})
    assert (fault.task, fault.field) == (0, "key")
    assert reference_faults(specs, ()) == [], "it only looks like one: then it is a key like any other"


def test_keys_become_ids_and_each_is_named_once() -> None:
    specs = [one("a"), one("b", "a", "told", "a"), one(None, "b")]
    assert resolved(specs, ["ta", "tb", "tc"]) == [(), ("ta", "told"), ("tb",)]


def test_ids_of_batches_members_and_single_tasks_are_never_the_same() -> None:
    batch = batch_id_of("k")
    made = {task_id_of("k"), *(member_id_of(batch, place) for place in range(100))}
    assert len(made | {task_id_of(f"{batch}:0"), task_id_of(f"member:{batch}:0")}) == 103
    assert all(TASK_ID.match(name) for name in made)
    assert not TASK_ID.match(batch)
    assert made == {task_id_of("k"), *(member_id_of(batch_id_of("k"), place) for place in range(100))}


def told(data: Any) -> list[tuple[int | None, str]]:
    """Read a body that must be refused; list the places of its faults."""
    batch, found = read_batch(data, agent=False)
    assert found
    assert len({msgspec.json.encode(fault) for fault in found}) == len(found), "a fault is told twice"
    assert batch is None or all(isinstance(spec, TaskSpec) for spec in batch.tasks)
    return [(fault.task, fault.field) for fault in found]


def test_every_fault_of_every_task_is_told_at_once() -> None:
    tasks = [
        body(key="a", titel="x", budget={"wall_s": 0, "memory_mb": "much"}),
        body(key="b"),
        body(key="c", engine="llm", repos=[{"name": "r", "url": "https://me:secret@host/r"}]),
        body(key="d", title=None, repos=[{"name": "r/r"}, 7]),
        "no task",
    ]
    assert told({"tasks": tasks}) == [
        (0, "titel"),
        (0, "budget.memory_mb"),
        (0, "budget.wall_s"),
        (3, "title"),
        (3, "repos[0].name"),
        (3, "repos[0].url"),
        (3, "repos[1]"),
        (4, ""),
        (2, "engine"),
        (2, "repos[0].verify.test"),
        (2, "repos[0].url"),
    ]
    batch, found = read_batch({"tasks": tasks}, agent=False)
    assert batch is None
    assert found[0].key == "a"
    assert "did you mean `title`?" in found[0].detail


def test_a_body_of_another_shape_is_told_as_such() -> None:
    assert told([]) == [(None, "")]
    assert told({}) == [(None, "tasks")]
    assert told({"tasks": []}) == [(None, "tasks")]
    assert told({"tasks": {}}) == [(None, "tasks")]
    assert told({"tasks": [body()], "cancel": True}) == [(None, "cancel")]
    assert told({"tasks": [{}] * (MAX_TASKS + 1)}) == [(None, "tasks")]


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["title", "repos", "key", "budget", "depends_on", "patch", "tasks", "env", "other"])


@settings(max_examples=40)
@given(st.dictionaries(fields, json, max_size=4), json)
def test_whatever_a_body_holds_is_read_or_refused(changed: dict[str, Any], other: Any) -> None:
    for data in (other, {"tasks": other}, {"tasks": [body(**changed), other]}, {"tasks": [body(**changed)]}):
        batch, found = read_batch(data, agent=False)
        assert found or batch
        for fault in found:
            assert fault.detail


def test_text_that_cannot_be_recorded_is_named_by_field() -> None:
    assert told(
        {"tasks": [body(title="a\0b"), body(repos=[{"name": "r", "url": "/r", "env": {"A": "\ud800"}}])]}
    ) == [
        (0, "title"),
        (1, "repos[0].env.A"),
    ]
