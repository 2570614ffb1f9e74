"""The order of migrations is that of their names, and a number is given once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from libs.eventstore import migrate as module
from libs.eventstore.migrate import MigrationError, application_name

FILES = sorted(path.stem for path in (module.SCHEMA / "migrations").iterdir())
#: What shares a number: these had to come before the `post` of their own release, which had the next one already. Each
#: makes tables of its own, so nothing hangs on which of them comes first. What was applied under a name keeps it.
SHARED = ["0005_pre_append_sets", "0005_pre_checkpoint", "0005_pre_followers", "0005_pre_rebuild_failure"]


def test_no_other_number_is_given_twice() -> None:
    """Processes are told apart by the last name that they know, so of two with one number the later may be unknown."""
    numbers = Counter(name[:4] for name in FILES if name not in SHARED)
    assert [number for number, times in numbers.items() if times > 1 or number == SHARED[0][:4]] == []
    assert [int(number) for number in sorted({name[:4] for name in FILES})] == list(
        range(1, int(FILES[-1][:4]) + 1)
    )


def test_they_are_applied_in_the_order_of_their_names_those_with_one_number_too() -> None:
    names = list(module._migrations())
    assert names == FILES
    assert [name for name in names if name.startswith(SHARED[0][:4])] == SHARED
    assert application_name() == f"autopilot {names[-1]}"


@pytest.mark.parametrize("name", ["7_pre_x", "0007_during_x", "0007_pre_", "0007-pre-x"])
def test_a_file_that_is_called_otherwise_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / f"{name}.sql").write_text("select 1")
    monkeypatch.setattr(module, "SCHEMA", tmp_path)
    with pytest.raises(MigrationError, match=f"NNNN_post_NAME, not {name}"):
        module._migrations()
