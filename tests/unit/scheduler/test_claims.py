"""Tasks whose planned files overlap go one after the other; nobody waits in a circle, nobody is left waiting."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.claim import ClaimEvent, Files, FilesAwaited, FilesClaimed, FilesReleased
from contracts.task import Plan, Specification, StageInput
from services.scheduler.domain.claims import Claim, ClaimCommand, Claims, LetGo, claims, files_of, overlap
from tests.unit.scheduler import facts


def decide(state: Claims, *commands: ClaimCommand) -> tuple[Claims, list[ClaimEvent]]:
    made: list[ClaimEvent] = []
    for command in commands:
        for event in list(claims.decide(command, state)):
            state = claims.evolve(state, event)
            made.append(event)
    return state, made


def files(*paths: str, base: str = "main", url: str = "u") -> tuple[Files, ...]:
    return (Files(repo_url=url, base=base, paths=paths),)


def claim(task_id: str, *paths: str, **values: Any) -> Claim:
    return Claim(task_id=task_id, files=files(*paths, **values))


def release(task_id: str, *, delivered: bool = True) -> LetGo:
    return LetGo(task_id=task_id, delivered=delivered, reason="is over")


def test_plans_without_a_common_file_do_not_meet() -> None:
    state, _ = decide(
        Claims(),
        claim("a", "x.py"),
        claim("b", "y.py"),
        claim("c", "x.py", base="release"),
        claim("d", "x.py", url="other"),
    )
    assert set(state.held) == {"a", "b", "c", "d"}


def test_the_later_one_waits_and_gets_the_files_with_the_change_of_the_earlier_one() -> None:
    state, made = decide(Claims(), claim("a", "x.py", "y.py"), claim("b", "y.py", "z.py"))
    assert made[1:] == [
        FilesAwaited(task_id="b", files=files("y.py", "z.py"), behind=("a",), shared=("y.py",))
    ]
    state, made = decide(state, release("a"))
    assert made[1:] == [FilesClaimed(task_id="b", files=files("y.py", "z.py"), after=("a",))]


def test_what_ended_without_a_change_has_not_to_be_contained() -> None:
    state, _ = decide(Claims(), claim("a", "x.py"), claim("b", "x.py"))
    _, made = decide(state, release("a", delivered=False))
    assert made[1:] == [FilesClaimed(task_id="b", files=files("x.py"))]


def test_a_line_is_served_in_its_order_and_one_at_a_time() -> None:
    state, _ = decide(Claims(), *(claim(name, "x.py") for name in "abcd"))
    order = []
    while state.held:
        (holder,) = state.held
        order.append(holder)
        state, made = decide(state, release(holder))
        assert sum(isinstance(event, FilesClaimed) for event in made) <= 1
    assert order == list("abcd")


def test_nobody_overtakes_a_task_in_line() -> None:
    state, _ = decide(Claims(), claim("a", "x.py"), claim("b", "x.py", "y.py"), claim("c", "y.py"))
    waits = state.waiting("c")
    assert waits is not None
    assert waits.behind == {"b"}


def test_the_same_claim_again_changes_nothing() -> None:
    state, _ = decide(Claims(), claim("a", "x.py"), claim("b", "x.py"))
    assert decide(state, claim("a", "x.py"))[1] == []


def test_a_new_plan_of_a_holder_that_leaves_a_file_lets_go_of_it() -> None:
    state, _ = decide(Claims(), claim("a", "x.py", "y.py"), claim("b", "y.py"))
    state, made = decide(state, claim("a", "x.py"))
    assert [type(event) for event in made] == [FilesClaimed, FilesClaimed]
    assert set(state.held) == {"a", "b"}


def test_a_new_plan_of_a_holder_that_meets_another_goes_to_the_end_of_the_line() -> None:
    state, _ = decide(Claims(), claim("a", "x.py"), claim("b", "y.py"), claim("c", "x.py"))
    state, made = decide(state, claim("a", "y.py"))
    assert [type(event) for event in made] == [FilesReleased, FilesClaimed, FilesAwaited]
    assert set(state.held) == {"b", "c"}


def test_scopes_are_no_claims() -> None:
    step = facts.planned()
    named = StageInput(spec=facts.spec(), plan=Plan(approach="a", repos=(step,), risk="low", digest="d"))
    assert files_of(named) == files("a.py")
    wide = msgspec.structs.replace(step, files=(), scope=("*.py",))
    plan = Plan(approach="a", repos=(wide,), risk="low", digest="d")
    assert files_of(StageInput(spec=facts.spec(), plan=plan)) == ()


def test_what_is_claimed_is_the_branch_that_the_base_is_and_not_how_it_is_spelt() -> None:
    plan = Plan(approach="a", repos=(facts.planned(),), risk="low", digest="d")

    def planned(base: str) -> StageInput:
        repo = {"name": "r", "url": "u", "base": base, "fail_to_pass": ["pytest"]}
        told = Specification(acceptance=(), risk="low", branches={"r": "main"})
        return StageInput(spec=facts.spec(repos=[repo]), specification=told, plan=plan)

    assert files_of(planned("HEAD")) == files_of(planned("refs/heads/main")) == files("a.py", base="main")


NAMES, PATHS = st.sampled_from("abcdef"), st.sets(st.sampled_from("uvwxyz"), min_size=1, max_size=3)
WISHES = st.one_of(
    st.builds(lambda name, paths: claim(name, *sorted(paths)), NAMES, PATHS),
    st.builds(lambda name, delivered: release(name, delivered=delivered), NAMES, st.booleans()),
)


@given(st.lists(WISHES, max_size=40), st.randoms())
def test_whatever_is_claimed_and_released_nothing_overlaps_and_everybody_has_a_turn(
    wishes: list[ClaimCommand], dice: Any
) -> None:
    state = Claims()
    for wish in wishes:
        state, _ = decide(state, wish)
        _hold(state)
        assert wish.task_id in state.held or isinstance(wish, LetGo) or state.waiting(wish.task_id)
    served: set[str] = set()
    waiting = {one.task_id for one in state.line}
    while state.held:
        served |= set(state.held)
        state, _ = decide(state, release(dice.choice(sorted(state.held))))
        _hold(state)
    assert waiting <= served
    assert state.line == ()


def _hold(state: Claims) -> None:
    held = list(state.held.items())
    for place, (_, some) in enumerate(held):
        assert not any(overlap(some, others) for _, others in held[place + 1 :])
    before: set[str] = set(state.held)
    for one in state.line:
        # Nobody waits for one that came later, or for one that is not there: so there is no circle.
        assert one.behind
        assert one.behind <= before
        assert one.task_id not in before
        met = {other for other, files in held if overlap(one.files, files)}
        assert met <= one.behind
        before.add(one.task_id)
