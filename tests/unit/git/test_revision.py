"""Names that git would misread never reach it."""

from __future__ import annotations

import pytest

from libs.git.revision import is_abbreviation, is_branch_name, is_object_id


@pytest.mark.parametrize(
    "name", ["main", "autopilot/t-1", "feature/ümlaut", "v1.0", "a@b", "x.locks", "-".join("ab")]
)
def test_ordinary_names_are_names(name: str) -> None:
    assert is_branch_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "-x",
            "--all",
            "a..b",
            "a@{1}",
            "@",
            "HEAD",
            "a~1",
            "a^",
            "a:b",
            "a b",
            "a?",
            "a*",
            "a[b",
            "a\\b",
        ),
        *("/a", "a/", "a//b", ".a", "a/.b", "a.", "a.lock", "a.lock/b", "a\nb", "a\0b", "a\x7fb"),
    ],
)
def test_expressions_options_and_odd_names_are_not(name: str) -> None:
    assert not is_branch_name(name)


def test_object_ids_have_their_full_length() -> None:
    assert is_object_id("0" * 40)
    assert is_object_id("f" * 64)
    assert not is_object_id("0" * 39)
    assert not is_object_id("g" * 40)
    assert not is_object_id("0" * 40 + "\n")
    assert is_abbreviation("0123abc")
    assert not is_abbreviation("0123ab")
    assert not is_abbreviation("main123")
