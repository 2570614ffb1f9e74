"""The invariants bite: a sound record has no breach, and each way of bending it is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from contracts.message import Recorded
from contracts.receipt import Problem
from libs.testing import invariants, scheduling
from tests.system.twin import honest, patch_task, scripted
from tests.system.walking import submit, wait_out

Record = list[Recorded]
Bend = Callable[[Record], Record]


#: Made once: nobody changes it.
_RECORD: Record = []


@pytest.fixture
async def record(make: Any) -> Record:
    """A real task, one that depends on it, and a simulated one."""
    if not _RECORD:
        world = await make(scripted(honest))
        await submit(world, "t1", patch_task())
        await submit(world, "t2", patch_task(depends_on=["t1"]))
        await submit(world, "t3", patch_task(synthetic=True, patch=None, engine="noop"))
        await wait_out(world)
        _RECORD.extend(await world.events())
    return list(_RECORD)


def without(type_: str, task_id: str = "t1", **values: Any) -> Bend:
    """Take events of a type away."""

    def bend(events: Record) -> Record:
        return [
            event
            for event in events
            if event.type != type_
            or getattr(event.event, "task_id", "") != task_id
            or any(getattr(event.event, key) != value for key, value in values.items())
        ]

    return bend


def changed(type_: str, change: Callable[[Any], Any], task_id: str = "t1") -> Bend:
    """Put other facts into the events of a type."""

    def bend(events: Record) -> Record:
        return [
            msgspec.structs.replace(event, event=change(event.event))
            if event.type == type_ and getattr(event.event, "task_id", "") == task_id
            else event
            for event in events
        ]

    return bend


def verification(**values: Any) -> Callable[[Any], Any]:
    """Bend what the verifier measured."""

    def change(fact: Any) -> Any:
        seen = tuple(msgspec.structs.replace(one, **values) for one in fact.output.verifications)
        return msgspec.structs.replace(fact, output=msgspec.structs.replace(fact.output, verifications=seen))

    return change


def set_to(**values: Any) -> Callable[[Any], Any]:
    """Replace fields of a fact."""
    return lambda fact: msgspec.structs.replace(fact, **values)


def doubled(type_: str) -> Bend:
    """Let the events of a type happen twice."""
    return lambda events: [copy for event in events for copy in [event] * (1 + (event.type == type_))]


def early(type_: str, task_id: str) -> Bend:
    """Let the events of a type happen before everything but submissions."""

    def rank(event: Recorded) -> int:
        moved = event.type == type_ and getattr(event.event, "task_id", "") == task_id
        return 0 if event.type == "task_submitted" else 1 if moved else 2

    return lambda events: sorted(events, key=rank)


def unmarked(events: Record) -> Record:
    """Take the mark of simulation away."""
    plain = {"synthetic": False}
    return [msgspec.structs.replace(one, meta=msgspec.structs.replace(one.meta, **plain)) for one in events]


def under(lease: Callable[[int], str]) -> Bend:
    """Let each event be written under the lease that its place asks for."""
    return lambda events: [
        msgspec.structs.replace(one, meta=msgspec.structs.replace(one.meta, lease=lease(place)))
        for place, one in enumerate(events)
    ]


PROBLEM = (Problem(code="x", detail="y"),)
BENT: dict[str, tuple[Callable[..., Any], Bend, str]] = {
    "an event is missing": (invariants.versions_have_no_gap, without("task_admitted"), "where 2 is due"),
    "an event comes twice": (invariants.versions_have_no_gap, doubled("task_done"), "recorded twice"),
    "an event was edited": (
        invariants.chain_holds,
        changed("task_admitted", set_to(bases=(), task_id="t1 ")),
        "is not what was hashed",
    ),
    "an event was cut out": (invariants.chain_holds, without("task_admitted"), "does not follow"),
    "an epoch that was over": (
        invariants.epochs_only_rise,
        under(lambda place: f"scheduler:{1 + (place == 3)}"),
        "after epoch 2",
    ),
    "two slots for one": (scheduling.slots_within_limit, doubled("slot_granted"), "second slot"),
    "a run without a slot": (scheduling.stages_run_only_in_slots, without("slot_granted"), "without a slot"),
    "a slot given back too soon": (
        scheduling.stages_run_only_in_slots,
        without("stage_completed", stage="monitor"),
        "while t1-monitor-1 runs",
    ),
    "a run that ends twice": (invariants.runs_are_numbered_once, doubled("stage_completed"), "has a second"),
    "an attempt that was left out": (
        invariants.runs_are_numbered_once,
        changed("stage_requested", lambda fact: msgspec.structs.replace(fact, attempt=2)),
        "comes after attempt 0",
    ),
    "two pull requests": (
        invariants.one_pull_request,
        changed("task_done", lambda fact: set_to(pull_requests=fact.pull_requests * 2)(fact)),
        "2 pull requests",
    ),
    **{
        f"no approval of gate {gate}": (
            invariants.done_implies_proof,
            without("gate_decided", gate=gate),
            f"gate {gate} did not approve",
        )
        for gate in range(6)
    },
    "a receipt of another tree": (
        invariants.done_implies_proof,
        changed("stage_completed", verification(tree="9" * 40)),
        "not of the pull request's tree",
    ),
    "a receipt with a problem": (
        invariants.done_implies_proof,
        changed("stage_completed", verification(problems=PROBLEM)),
        "did not accept",
    ),
    "an empty change": (
        invariants.done_implies_proof,
        changed("stage_completed", verification(base_tree="2" * 40)),
        "it is empty",
    ),
    "no test was run": (
        invariants.done_implies_proof,
        changed("stage_completed", verification(commands=())),
        "no test",
    ),
    "no receipt at all": (
        invariants.done_implies_proof,
        without("stage_completed", stage="verify"),
        "no receipt",
    ),
    "gates that judged another tree": (
        invariants.done_implies_proof,
        changed("gate_decided", set_to(trees={"r": "9" * 40})),
        "judged another tree",
    ),
    "a dependent that did not wait": (
        scheduling.dependents_wait,
        early("task_admitted", "t2"),
        "starts before t1 is done",
    ),
    "a dependent on a tree without the change": (
        scheduling.dependents_wait,
        changed("task_admitted", set_to(bases=()), "t2"),
        "on a tree without t1",
    ),
    "simulation that is not marked": (invariants.simulation_is_marked, unmarked, "wrong mark"),
    "a task that was forgotten": (scheduling.nothing_is_forgotten, without("task_done"), "is forgotten"),
    "a slot that was kept": (scheduling.nothing_is_forgotten, without("slot_released"), "holds a slot"),
}


async def test_a_sound_record_has_no_breach(record: Record) -> None:
    assert invariants.breaches_at_rest(record) == []


@pytest.mark.parametrize("name", BENT)
async def test_what_is_bent_is_named(record: Record, name: str) -> None:
    check, bend, words = BENT[name]
    found = list(check(bend(record)))
    assert any(words in breach for breach in found), found


async def test_more_than_the_limit_is_named(record: Record) -> None:
    assert any("the limit is 1" in breach for breach in scheduling.slots_within_limit(record, 1))


async def test_an_effect_of_unknown_outcome_is_named(record: Record) -> None:
    completed = next(event for event in record if event.type == "stage_completed")
    fact: Any = completed.event

    class Intended(msgspec.Struct):
        run_id: str
        effect: str

    intended = msgspec.structs.replace(
        completed,
        type="effect_intended",
        event=Intended(run_id=fact.run_id, effect="push:r"),
    )
    events: Sequence[Recorded] = [intended, completed]
    assert list(invariants.effects_are_settled(events)) == [
        f"{fact.run_id} ended without knowing what became of push:r"
    ]


async def test_a_message_that_the_record_does_not_know_is_named(record: Record) -> None:
    assert list(invariants.strangers(record, [record[0].id, "another"])) == [
        "the bus holds 'another', the record does not"
    ]
