"""The ordered rules of resolution: again after a wait, another plan, or an incident."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.gate import GateDecided
from contracts.message import Event
from contracts.receipt import Problem
from contracts.resolution import (
    LoopClosed,
    LoopExhausted,
    LoopOpened,
    PlanDeltaRecorded,
    StageRetryAdvised,
)
from contracts.stage import StageCompleted, StageOutput
from contracts.task import Failure, Plan, RepoChange, ResolutionAwaited, StageInput, TaskSpec
from libs.testing.scenario import Scenario
from services.resolution.domain import (
    MAX_LOOPS,
    MAX_RETRIES,
    Passed,
    Resolve,
    fingerprint,
    loop,
    passed,
    signature,
)

FRESH = Scenario(loop)
#: What a failed loop leaves behind.
FAILED: list[type[Event]] = [LoopOpened, PlanDeltaRecorded]
OVERCOME: list[type[Event]] = [*FAILED, LoopClosed]


def awaited(
    *,
    number: int = 1,
    kind: str = "persistent",
    engine: str = "noop",
    retry: int = 0,
    gates: tuple[int, ...] = (),
    **more: Any,
) -> ResolutionAwaited:
    """A failed verify; `number` makes it another attempt."""
    spec = msgspec.convert(
        {"title": "t", "engine": engine, "patch": "d", "repos": [{"name": "r", "url": "u"}]}, TaskSpec
    )
    found = (
        Problem(code="test_not_passing", detail="one fails"),
        Problem(code="test_missing", detail="one is gone"),
    )
    failure = msgspec.convert({"kind": kind, "code": "broken", "detail": "it broke"}, Failure)
    subject = StageInput(spec=spec, plan=Plan(approach="a", repos=(), risk="low", digest=f"plan {number}"))
    values: dict[str, Any] = {
        "task_id": "t1",
        "stage": "verify",
        "cause": f"t1-verify-{number}",
        "failure": msgspec.structs.replace(failure, findings=found),
        "retry": retry,
        "gates": gates,
        "subject": subject,
    }
    return ResolutionAwaited(**{**values, **more})


def resolve(**values: Any) -> Resolve:
    """The command."""
    return Resolve(awaited=awaited(**values))


@pytest.mark.parametrize("kind", ["transient", "environmental"])
def test_what_may_pass_is_run_again_after_a_wait_that_doubles(kind: str) -> None:
    waits = []
    for retry in range(MAX_RETRIES):
        (advised,) = FRESH.when(resolve(kind=kind, retry=retry)).events
        assert isinstance(advised, StageRetryAdvised)
        assert (advised.run_id, advised.stage, advised.retry) == ("t1-verify-1", "verify", retry + 1)
        waits.append(advised.after_s)
    assert waits == [2.0, 4.0, 8.0]


def test_a_service_that_wants_to_be_left_alone_is_left_alone_for_so_long() -> None:
    failure = Failure(kind="transient", code="forge_failed", detail="a limit", retry_after_s=600.0)
    command = Resolve(awaited=msgspec.structs.replace(awaited(retry=1), failure=failure))
    (advised,) = FRESH.when(command).events
    assert isinstance(advised, StageRetryAdvised)
    assert advised.after_s == 600.0


@pytest.mark.parametrize("kind", ["transient", "environmental"])
def test_what_does_not_pass_is_an_incident(kind: str) -> None:
    made = FRESH.when(resolve(kind=kind, retry=MAX_RETRIES))
    made.then_types(LoopOpened, LoopExhausted)
    assert "did not pass in 3 more tries" in made.events[-1].reason  # type: ignore[attr-defined]


def test_what_is_impossible_is_never_tried_again() -> None:
    made = FRESH.when(resolve(kind="impossible"))
    made.then_types(LoopOpened, LoopExhausted)
    exhausted = made.events[-1]
    assert isinstance(exhausted, LoopExhausted)
    assert (exhausted.loop, exhausted.incident_id) == (1, "t1-1")
    assert exhausted.reason == "it broke (it cannot succeed by being tried again)"


def test_an_engine_with_one_candidate_is_given_up_after_one_loop() -> None:
    made = FRESH.when(resolve(engine="patch"))
    made.then_types(LoopOpened, LoopExhausted)
    assert "engine patch has no other candidate" in made.events[-1].reason  # type: ignore[attr-defined]


def test_another_plan_says_what_is_different_and_what_it_answers() -> None:
    opened, recorded = FRESH.when(resolve()).events
    assert isinstance(opened, LoopOpened)
    assert (opened.loop, opened.stage, opened.label, opened.kind) == (1, "verify", "broken", "persistent")
    assert isinstance(recorded, PlanDeltaRecorded)
    assert recorded.delta.loop == 1
    assert recorded.delta.answers == ("test_not_passing", "test_missing")
    assert recorded.delta.different
    assert recorded.delta.signature == opened.signature == signature(awaited())


def test_three_loops_may_fail_and_the_next_failure_is_an_incident() -> None:
    made = FRESH.when(*(resolve(number=number) for number in range(1, MAX_LOOPS + 2)))
    made.then_types(*FAILED * MAX_LOOPS, LoopOpened, LoopExhausted)
    assert "3 loops have failed" in made.events[-1].reason  # type: ignore[attr-defined]


def test_a_loop_that_was_overcome_has_not_failed() -> None:
    overcome = Passed(task_id="t1", stage="verify")
    commands = [command for number in range(1, 9) for command in (resolve(number=number), overcome)]
    made = FRESH.when(*commands)
    made.then_types(*OVERCOME * 8)
    assert [event.loop for event in made.events if isinstance(event, LoopOpened)] == list(range(1, 9))


def test_the_same_attempt_again_is_no_attempt() -> None:
    made = FRESH.when(resolve(), resolve())
    made.then_types(LoopOpened, PlanDeltaRecorded, LoopOpened, LoopExhausted)
    assert "the same attempt has failed in the same way before" in made.events[-1].reason  # type: ignore[attr-defined]


def test_a_persons_retry_grants_new_loops_and_a_new_incident() -> None:
    first = FRESH.when(*(resolve(number=number) for number in range(1, MAX_LOOPS + 2)))
    again = (
        Scenario(loop)
        .given(*first.events)
        .when(*(resolve(number=number) for number in range(1, MAX_LOOPS + 2)))
    )
    again.then_types(*FAILED * MAX_LOOPS, LoopOpened, LoopExhausted)
    exhausted = again.events[-1]
    assert isinstance(exhausted, LoopExhausted)
    assert (exhausted.loop, exhausted.incident_id) == (8, "t1-2")


@pytest.mark.parametrize(
    ("gates", "command", "closes"),
    [
        ((), Passed(task_id="t1", stage="verify"), True),
        ((), Passed(task_id="t1", stage="plan"), False),
        ((), Passed(task_id="t1", gate=1), False),
        ((1, 3), Passed(task_id="t1", gate=3), True),
        ((1, 3), Passed(task_id="t1", gate=1), False),
        ((1, 3), Passed(task_id="t1", stage="verify"), False),
    ],
)
def test_a_loop_closes_when_what_failed_passes(gates: tuple[int, ...], command: Passed, closes: bool) -> None:
    made = FRESH.given(*FRESH.when(resolve(gates=gates)).events).when(command, command)
    made.then_types(*[LoopClosed] * closes)


def test_nothing_closes_where_nothing_failed() -> None:
    FRESH.when(Passed(task_id="t1", stage="verify")).then_nothing()


def test_equal_causes_have_equal_fingerprints_on_different_tasks() -> None:
    one, other = awaited(), awaited(number=2, task_id="t2")
    assert fingerprint(one.failure) == fingerprint(other.failure)
    assert fingerprint(one.failure) != fingerprint(msgspec.structs.replace(one.failure, detail="otherwise"))


def test_a_signature_names_plan_tree_and_what_failed() -> None:
    one = awaited()
    change = RepoChange(repo="r", base_commit="b", commit="c", tree="t", files=())
    other_tree = msgspec.structs.replace(one, subject=msgspec.structs.replace(one.subject, changes=(change,)))
    less = msgspec.structs.replace(one.failure, findings=one.failure.findings[:1])
    turned = msgspec.structs.replace(one.failure, findings=tuple(reversed(one.failure.findings)))
    assert signature(one) == signature(awaited(task_id="t2", cause="another run", retry=2))
    assert signature(one) == signature(msgspec.structs.replace(one, failure=turned))
    different = [
        awaited(number=2),
        awaited(stage="review"),
        other_tree,
        msgspec.structs.replace(one, failure=less),
    ]
    assert len({signature(each) for each in (one, *different)}) == 5


def test_every_tree_that_failed_is_named_to_the_next_attempt() -> None:
    def failed(number: int, tree: str) -> Resolve:
        one = awaited(number=number)
        change = RepoChange(repo="r", base_commit="b", commit="c", tree=tree, files=())
        subject = msgspec.structs.replace(one.subject, changes=(change,))
        return Resolve(awaited=msgspec.structs.replace(one, subject=subject))

    first = FRESH.when(failed(1, "one")).events
    second = FRESH.given(*first).when(failed(2, "two")).events
    avoided = [event.delta.avoid for event in (*first, *second) if isinstance(event, PlanDeltaRecorded)]
    assert avoided == [("one",), ("one", "two")]


def test_only_what_passed_is_news_of_a_pass() -> None:
    completed = StageCompleted(
        run_id="r", task_id="t1", stage="verify", attempt=1, output=StageOutput(), duration_s=1
    )
    assert passed(completed) == Passed(task_id="t1", stage="verify")
    for verdict in ("approve", "reject", "abstain", "error"):
        decided = msgspec.convert(
            {
                "review_id": "v",
                "task_id": "t1",
                "gate": 2,
                "round": 1,
                "verdict": verdict,
                "type": "gate_decided",
            },
            GateDecided,
        )
        assert passed(decided) == (Passed(task_id="t1", gate=2) if verdict == "approve" else None)


wishes = st.one_of(
    st.builds(
        resolve,
        number=st.integers(1, 9),
        kind=st.sampled_from(["persistent", "transient", "impossible", "environmental"]),
        engine=st.sampled_from(["noop", "patch"]),
        retry=st.integers(0, 4),
        gates=st.sampled_from([(), (1,), (2, 3)]),
    ),
    st.builds(Passed, task_id=st.just("t1"), stage=st.sampled_from(["plan", "verify"])),
    st.builds(Passed, task_id=st.just("t1"), gate=st.integers(0, 5)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(wishes, max_size=20))
def test_every_failure_has_exactly_one_way_out_and_loops_are_bounded(commands: list[Any]) -> None:
    history = FRESH
    failed_in_a_row = 0
    for command in commands:
        made = history.when(command).events
        history = history.given(*made)
        if isinstance(command, Resolve):
            ways = [
                one for one in made if isinstance(one, (StageRetryAdvised, PlanDeltaRecorded, LoopExhausted))
            ]
            assert len(ways) == 1
            if isinstance(ways[0], PlanDeltaRecorded):
                failed_in_a_row += 1
            elif isinstance(ways[0], LoopExhausted):
                failed_in_a_row = 0
        elif made:
            failed_in_a_row = 0
        assert failed_in_a_row <= MAX_LOOPS
    opened = [one.loop for one in history.history if isinstance(one, LoopOpened)]
    assert opened == list(range(1, len(opened) + 1))
