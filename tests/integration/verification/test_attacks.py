"""Changes that pretend are rejected, each for the reason that its table names.

All of a table are verified two at a time, because one verification seldom keeps two processors busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from libs.verification.types import Verification
from tests.integration.verification.attacks import BEHAVIOUR, PATHS, READ, TARGETED, Attack
from tests.integration.verification.conftest import Court

Verdicts = Mapping[str, Verification]


def verdicts(court: Court, attacks: Mapping[str, Attack], *, reading: bool) -> Verdicts:
    """Verify all attacks, with or without reading what they add."""

    async def all_of_them() -> list[Verification]:
        places = asyncio.Semaphore(2)

        async def one(edits: dict[str, str | bytes | None]) -> Verification:
            async with places:
                return await court.judge(edits)

        first, *others = [edits for edits, _ in attacks.values()]
        # The first alone: it leaves the base's results for the others.
        return [await one(first), *await asyncio.gather(*(one(edits) for edits in others))]

    with pytest.MonkeyPatch.context() as patch:
        if not reading:
            patch.setattr("libs.verification.scrutiny.gained", lambda *_: ())
        return dict(zip(attacks, asyncio.run(all_of_them()), strict=True))


@pytest.fixture(scope="module")
def on_paths(court: Court) -> Verdicts:
    return verdicts(court, PATHS, reading=True)


@pytest.fixture(scope="module")
def on_behaviour(court: Court) -> Verdicts:
    return verdicts(court, BEHAVIOUR | TARGETED, reading=False)


@pytest.fixture(scope="module")
def when_read(court: Court) -> Verdicts:
    return verdicts(court, TARGETED | READ, reading=True)


def codes(verification: Verification) -> set[str]:
    return {str(problem.code) for problem in verification.problems}


@pytest.mark.parametrize("name", PATHS)
def test_a_change_to_what_judges_it_is_rejected(on_paths: Verdicts, name: str) -> None:
    assert PATHS[name][1] <= codes(on_paths[name])
    # What was restored judges the change all the same: the fault is still seen.
    assert {"test_not_passing", "test_missing"} & codes(on_paths[name])


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
