"""Which addresses are repositories and issues of a GitHub site."""

from __future__ import annotations

import pytest

from libs.forge.github.address import Address, parse, parse_issue

HUB, OWN = "https://github.com", "http://127.0.0.1:8080"
WIDE = Address("team", "wide.py")


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://github.com/team/wide.py", HUB),
        ("https://github.com/team/wide.py.git", HUB),
        ("https://github.com/team/wide.py/", HUB),
        ("https://GitHub.com/team/wide.py", HUB),
        ("https://www.github.com/team/wide.py", HUB),
        ("https://user:pass@github.com/team/wide.py", HUB),
        ("git@github.com:team/wide.py.git", HUB),
        ("github.com:team/wide.py", HUB),
        ("ssh://git@github.com/team/wide.py.git", HUB),
        ("ssh://git@github.com:22/team/wide.py.git", HUB),
        ("http://127.0.0.1:8080/team/wide.py", OWN),
    ],
)
def test_a_repository_of_the_site_is_known_in_every_spelling(url: str, site: str) -> None:
    assert parse(url, site) == WIDE


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/git/team/wide.py",
        "file:///github.com/team/wide.py",
        "https://gitlab.com/team/wide.py",
        "https://github.com.evil.org/team/wide.py",
        "https://evil.org/github.com/team/wide.py",
        "https://github.com@evil.org/team/wide.py",
        "https://evil.org\\@github.com:x/team/wide.py",
        "http://github.com/team/wide.py",
        "https://github.com:8443/team/wide.py",
        "https://github.com/team",
        "https://github.com/team/wide/extra",
        "https://github.com/../wide",
        "https://github.com/team/..",
        "https://github.com/team/.git",
        "https://github.com/te am/wide",
        "https://[github.com/team/wide",
        "git@evil.org:team/wide.py",
        "git@github.com:team/wide/extra",
    ],
)
def test_no_other_address_gets_the_secret(url: str) -> None:
    assert parse(url, HUB) is None


def test_an_issue_is_known_by_its_address_alone() -> None:
    assert parse_issue("https://github.com/team/wide.py/issues/7", HUB) == (WIDE, 7)
    assert parse_issue("https://github.com/team/wide.py/issues/7#issuecomment-1", HUB) == (WIDE, 7)
    for url in (
        "https://github.com/team/wide.py",
        "https://github.com/team/wide.py/issues",
        "https://github.com/team/wide.py/issues/new",
        "https://evil.org/team/wide.py/issues/7",
        "http://github.com/team/wide.py/issues/7",
    ):
        assert parse_issue(url, HUB) is None
