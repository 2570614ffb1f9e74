from __future__ import annotations

import pytest

from tests.integration.verification.attacks import BEHAVIOUR, PATHS, TARGETED, Attack
from tests.integration.verification.conftest import Court


@pytest.mark.parametrize("attack", PATHS.values(), ids=PATHS.keys())
async def test_a_change_to_what_judges_it_is_rejected(court: Court, attack: Attack) -> None:
    edits, expected = attack

    verification = await court.judge(edits)

    assert not verification.accepted
    assert expected <= {problem.code for problem in verification.problems}
    # What was restored judges the change all the same: the fault is still seen.
    assert {"test_not_passing", "test_missing"} & {problem.code for problem in verification.problems}


@pytest.mark.parametrize("attack", BEHAVIOUR.values(), ids=BEHAVIOUR.keys())
async def test_code_that_pretends_is_rejected_for_how_it_behaves(
    court: Court, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits, expected = attack
    monkeypatch.setattr("libs.verification.facts.evasions", lambda *_: ())

    verification = await court.judge(edits)

    assert expected & {problem.code for problem in verification.problems}, verification.problems


@pytest.mark.parametrize("attack", TARGETED.values(), ids=TARGETED.keys())
async def test_code_written_against_the_observer_is_rejected(
    court: Court, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits, expected = attack

    assert "evasion" in {problem.code for problem in (await court.judge(edits)).problems}

    monkeypatch.setattr("libs.verification.facts.evasions", lambda *_: ())
    verification = await court.judge(edits)
    assert expected & {problem.code for problem in verification.problems}, verification.problems
