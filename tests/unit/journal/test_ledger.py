"""The file of checkpoints: lines are added once, in order, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.journal import checkpoint as checkpoints
from libs.journal.checkpoint import Signed
from libs.journal.ledger import Ledger
from tests.unit.journal.records import AT, KEY


@pytest.fixture
def lines() -> list[str]:
    signed: list[Signed] = []
    for number in range(1, 4):
        before = signed[-1] if signed else None
        places = [(number, f"{number:064x}")]
        signed.append(checkpoints.seal(places, before=before, upto=number, sealed_at=AT, key=KEY))
    return [one.line for one in signed]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path)
    made.create()
    return made


def test_a_line_that_comes_late_or_twice_is_there_once(ledger: Ledger, lines: list[str]) -> None:
    for at in (0, 1, 1, 0, 2, 1, 2):
        ledger.append(lines[at])
    assert list(ledger.lines()) == lines
    assert ledger.last() == lines[-1]


@pytest.mark.parametrize("left", [1, 100, -1])
def test_a_line_that_was_not_ended_is_not_read_and_is_cut_off(
    ledger: Ledger, lines: list[str], left: int
) -> None:
    ledger.append(lines[0])
    with ledger.path.open("a") as file:
        file.write(lines[1][:left])
    assert list(ledger.lines()) == lines[:1]
    assert ledger.last() == lines[0]
    ledger.mend()
    ledger.append(lines[1])
    assert list(ledger.lines()) == lines[:2]


def test_it_is_private_and_made_once(ledger: Ledger, lines: list[str]) -> None:
    ledger.append(lines[0])
    ledger.create()
    assert list(ledger.lines()) == lines[:1]
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_gone_is_not_made_by_writing(tmp_path: Path, lines: list[str]) -> None:
    for act in (
        lambda: Ledger(tmp_path).append(lines[0]),
        Ledger(tmp_path).mend,
        Ledger(tmp_path).last,
        lambda: list(Ledger(tmp_path).lines()),
    ):
        with pytest.raises(FileNotFoundError):
            act()
