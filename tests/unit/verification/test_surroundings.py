"""What surrounds a command follows from the task's variables alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.verification.environment import BASE_PATH, surround
from libs.verification.types import RequestError


def test_named_directories_are_seen_and_path_keeps_the_systems_own(tmp_path: Path) -> None:
    seen = surround({"PATH": f"{tmp_path}:$PATH", "DATA": str(tmp_path / "not there")})
    assert seen.env["PATH"] == f"{tmp_path}:{BASE_PATH}"
    assert seen.directories == (str(tmp_path),)


def test_a_directory_that_is_named_by_going_up_is_named_straight(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "here").mkdir()
    seen = surround({"PATH": f"{tmp_path}/here/../bin:$PATH", "LINK": "http://host/a/../b"})
    assert seen.env["PATH"].startswith(f"{tmp_path}/bin:")
    assert seen.directories == (f"{tmp_path}/bin",)
    assert seen.env["LINK"] == "http://host/a/../b"


def test_a_name_of_ours_is_refused() -> None:
    with pytest.raises(RequestError):
        surround({"LD_PRELOAD": "/x.so"})


def test_a_tool_that_was_replaced_is_another_environment(tmp_path: Path) -> None:
    """Whatever a task's directories hold is executed; only of Python is it known what its packages are."""
    tool, env = tmp_path / "compiler", {"PATH": f"{tmp_path}:$PATH"}
    tool.write_text("one")
    first = surround(env).digest
    assert surround(env).digest == first
    tool.write_text("other")
    assert surround(env).digest != first
