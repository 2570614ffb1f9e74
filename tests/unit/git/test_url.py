"""Addresses are judged and named without asking anybody."""

from __future__ import annotations

import pytest

from libs.git.error import UnsupportedRepositoryError
from libs.git.url import check, local_path, redact, repo_key


@pytest.mark.parametrize(
    "url",
    [
        "/srv/my repo",
        "file:///srv/repo.git",
        "https://user:secret@example.org/team/repo.git",
        "ssh://git@example.org:22/team/repo",
        "git@example.org:team/repo.git",
        "git://example.org/repo",
    ],
)
def test_plain_addresses_pass(url: str) -> None:
    check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "repo",
        "./repo",
        "../repo",
        "-x",
        "--upload-pack=x",
        "ext::sh",
        "fd::1",
        "foo://x",
        "/a\nb",
        "a\0b",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(UnsupportedRepositoryError):
        check(url)


def test_a_key_is_readable_safe_and_distinct() -> None:
    assert repo_key("https://example.org/Team/My_Repo.git").startswith("team-my-repo-")
    assert repo_key("/srv/one/repo") != repo_key("/srv/two/repo")
    assert repo_key("https://a.example/x/y") != repo_key("https://b.example/x/y")
    for url in ("/", "/\u65e5\u672c", "/" + "x" * 500, "https://h/../../etc", "/a b/\udce9"):
        key = repo_key(url)
        assert len(key) < 64
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_spelling_and_credentials_do_not_change_a_key() -> None:
    assert repo_key("/srv/repo") == repo_key("/srv/repo/") == repo_key("file:///srv/repo")
    assert repo_key("https://example.org/r") == repo_key("https://user:secret@example.org/r")


def test_credentials_are_taken_out_of_texts() -> None:
    text = "fatal: unable to access 'https://user:secret@example.org/r/': no"
    assert redact(text) == "fatal: unable to access 'https://***@example.org/r/': no"


def test_local_addresses_are_told_from_others() -> None:
    assert str(local_path("file:///srv/my%20repo")) == "/srv/my repo"
    assert str(local_path("/srv/x")) == "/srv/x"
    assert local_path("git@example.org:x") is None
