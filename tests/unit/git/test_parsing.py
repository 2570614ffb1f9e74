"""Git's listings are read to the last odd name."""

from __future__ import annotations

from pathlib import Path

from libs.git.environment import hardened, serving
from libs.git.tree import parse_changes, parse_tree

A, B, NONE = "a" * 40, "b" * 40, "0" * 40


def test_a_tree_listing_is_read() -> None:
    listing = (
        f"100644 blob {A}      12\ttab\there\x00120000 blob {B}       3\tlink\n\0"
        f"160000 commit {A}       -\tsub\x00100664 blob {B}       0\told\0"
    ).encode()
    entries = parse_tree(listing)
    assert [(entry.path, entry.kind, entry.size) for entry in entries] == [
        ("tab\there", "file", 12),
        ("link\n", "symlink", 3),
        ("sub", "submodule", None),
        ("old", "file", 0),
    ]
    assert parse_tree(b"") == []


def test_changes_are_read_raw_first_then_counted() -> None:
    listing = (
        f":100644 100755 {A} {B} M\0:odd\0:000000 100644 {NONE} {B} A\0new\tone\0"
        f":100644 120000 {A} {B} T\0link\0"
        f"3\t1\t:odd\0-\t-\tnew\tone\x001\t1\tlink\0"
    ).encode()
    first, second, third = parse_changes(listing)
    assert (first.path, first.added, first.removed, first.binary) == (":odd", 3, 1, False)
    assert (first.old_mode, first.new_mode) == ("100644", "100755")
    assert (second.path, second.status, second.old_blob, second.binary) == ("new\tone", "A", None, True)
    assert (third.status, third.added) == ("T", 1)
    assert parse_changes(b"") == []


def test_the_environment_holds_nothing_of_the_callers() -> None:
    outer = {"PATH": "/bin", "GIT_DIR": "/x", "GIT_EXEC_PATH": "/x", "LD_PRELOAD": "x", "TOKEN": "secret"}
    inner = hardened(Path("/empty"), outer)
    assert inner["PATH"] == "/bin"
    assert inner["HOME"] == "/empty"
    assert not {"GIT_DIR", "GIT_EXEC_PATH", "LD_PRELOAD", "TOKEN"} & set(inner)
    assert "core.hooksPath=/dev/null" in serving("upload-pack")
