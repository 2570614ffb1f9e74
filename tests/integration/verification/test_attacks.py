"""Changes that pretend are rejected, each for the reason that its table names.

All of a table are verified two at a time, because one verification seldom keeps two processors busy. Attacks on paths
that do not meet are one change: what is wrong about each is told by its path, and if only one of them were not undone,
the fault could not be seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from libs.verification.types import Verification
from tests.integration.verification.attacks import ALONE, BEHAVIOUR, PATHS, READ, TARGETED, Edits
from tests.integration.verification.conftest import Court

Verdicts = Mapping[str, Verification]


def edits_of(*tables: Mapping[str, tuple[Edits, set[str]]]) -> dict[str, Edits]:
    return {name: edits for table in tables for name, (edits, _) in table.items()}


def verdicts(court: Court, attacks: Mapping[str, Edits], *, reading: bool) -> Verdicts:
    """Verify all attacks, with or without reading what they add."""

    async def all_of_them() -> list[Verification]:
        places = asyncio.Semaphore(2)

        async def one(edits: Edits) -> Verification:
            async with places:
                return await court.judge(edits)

        first, *others = attacks.values()
        # The first alone: it leaves the base's results for the others.
        return [await one(first), *await asyncio.gather(*(one(edits) for edits in others))]

    with pytest.MonkeyPatch.context() as patch:
        if not reading:
            patch.setattr("libs.verification.scrutiny.gained", lambda *_: ())
        return dict(zip(attacks, asyncio.run(all_of_them()), strict=True))


def joined(attacks: Mapping[str, Edits]) -> dict[str, int]:
    """Give each attack the number of the change that it becomes part of: the first that has none of its paths."""
    paths: list[set[str]] = []
    number: dict[str, int] = {}
    for name, edits in attacks.items():
        number[name] = next((place for place, taken in enumerate(paths) if not taken & {*edits}), len(paths))
        if number[name] == len(paths):
            paths.append(set())
        paths[number[name]].update(edits)
    return number


@pytest.fixture(scope="module")
def on_paths(court: Court) -> Verdicts:
    attacks = edits_of(PATHS)
    shared = joined({name: edits for name, edits in attacks.items() if name not in ALONE})
    changes = {name: attacks[name] for name in ALONE}
    for name, number in shared.items():
        changes.setdefault(f"change {number}", {}).update(attacks[name])
    seen = verdicts(court, changes, reading=True)
    return {name: seen[name] if name in ALONE else seen[f"change {shared[name]}"] for name in attacks}


@pytest.fixture(scope="module")
def on_behaviour(court: Court) -> Verdicts:
    return verdicts(court, edits_of(BEHAVIOUR, TARGETED), reading=False)


@pytest.fixture(scope="module")
def when_read(court: Court) -> Verdicts:
    return verdicts(court, edits_of(TARGETED, READ), reading=True)


def codes(verification: Verification) -> set[str]:
    return {str(problem.code) for problem in verification.problems}


@pytest.mark.parametrize("name", PATHS)
def test_a_change_to_what_judges_it_is_rejected(on_paths: Verdicts, name: str) -> None:
    edits, expected = PATHS[name]
    named = {
        str(problem.code)
        for problem in on_paths[name].problems
        if name in ALONE or any(f" {path}" in f" {problem.detail}" for path in edits)
    }
    assert expected <= named, on_paths[name].problems
    # What was restored judges the change all the same: the fault is still seen.
    still = {"test_not_passing", "test_missing"} if name in ALONE else {"test_not_passing"}
    assert still & codes(on_paths[name])


@pytest.mark.parametrize("name", BEHAVIOUR)
def test_code_that_pretends_is_rejected_for_how_it_behaves(on_behaviour: Verdicts, name: str) -> None:
    assert BEHAVIOUR[name][1] & codes(on_behaviour[name]), on_behaviour[name].problems


@pytest.mark.parametrize("name", TARGETED)
def test_code_written_against_the_observer_is_rejected(
    on_behaviour: Verdicts, when_read: Verdicts, name: str
) -> None:
    assert TARGETED[name][1] & codes(on_behaviour[name]), on_behaviour[name].problems
    assert "evasion" in codes(when_read[name])


@pytest.mark.parametrize("name", READ)
def test_all_code_that_a_change_adds_is_read_whole(when_read: Verdicts, name: str) -> None:
    assert READ[name][1] <= codes(when_read[name])
