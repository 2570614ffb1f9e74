"""What is shown to a command, and what it can write."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from libs.sandbox.command import Mount, Outcome
from libs.sandbox.errors import SandboxError

Shell = Callable[..., Coroutine[Any, Any, tuple[Outcome, str]]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory of the host, with a space in its name and a file in it."""
    folder = tmp_path / "a work tree"
    folder.mkdir()
    (folder / "file").write_text("original", encoding="utf-8")
    return folder


async def test_a_writable_mount_is_written_through(shell: Shell, tree: Path) -> None:
    outcome, text = await shell(
        "pwd; cat file; echo new > 'new file'; mkdir d; mv 'new file' d/; rm file",
        Mount(source=str(tree), target="/work space", writable=True),
        cwd="/work space",
    )

    assert (outcome.exit_code, text) == (0, "/work space\noriginal")
    assert (tree / "d" / "new file").read_text(encoding="utf-8") == "new\n"
    assert (tree / "d").stat().st_uid == os.geteuid()
    assert not (tree / "file").exists()


async def test_a_read_only_mount_stays_so(shell: Shell, tree: Path) -> None:
    mode = (tree / "file").stat().st_mode

    outcome, text = await shell(
        "echo x > /w/file; rm -f /w/file; touch /w/new; chmod 777 /w/file;"
        "mount -o remount,rw /w; mount -o remount,bind,rw /w; mount --bind /tmp /w; umount /w; umount -l /w;"
        "unshare -Urm mount -o remount,bind,rw /w; echo x >> /w/file; exit 4",
        Mount(source=str(tree), target="/w"),
    )

    assert outcome.exit_code == 4
    assert (tree / "file").read_text(encoding="utf-8") == "original"
    assert (tree / "file").stat().st_mode == mode
    assert os.listdir(tree) == ["file"]
    assert "Read-only file system" in text


async def test_nothing_else_can_be_written(shell: Shell) -> None:
    script = "for f in /x /usr/x /etc/x /etc/passwd /dev/x /home/x /proc/x /bin/sh; do echo x >> $f; done"
    outcome, text = await shell(
        f"{script}; rm -rf /usr/bin/env /etc; test -x /usr/bin/env && test -f /etc/passwd"
    )

    assert outcome.exit_code == 0
    assert text.count("annot create") + text.count("Permission denied") >= 8
    assert os.path.exists("/usr/bin/env")


async def test_links_in_a_writable_mount_do_not_lead_to_the_host(
    shell: Shell, tree: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret", encoding="utf-8")
    (tree / "symlink").symlink_to(outside)
    (tree / "up").symlink_to("../outside")
    (tree / "passwd").symlink_to("/etc/passwd")

    outcome, text = await shell(
        "cat symlink; cat up; cat passwd; echo x > symlink; ln /etc/passwd hard; ln -s /proc/1/root root; cat root/x",
        Mount(source=str(tree), target="/w", writable=True),
        cwd="/w",
    )

    assert outcome.exit_code != 0
    assert "secret" not in text
    assert "sandbox:x:1000" in text
    assert "root:x:0" not in text
    assert outside.read_text(encoding="utf-8") == "secret"


async def test_a_part_of_a_writable_mount_can_be_protected(shell: Shell, tree: Path) -> None:
    (tree / ".git").mkdir()

    await shell(
        "touch /w/fine; touch /w/.git/hook; mv /w/.git /w/git; rmdir /w/.git",
        Mount(source=str(tree / ".git"), target="/w/.git"),
        Mount(source=str(tree), target="/w", writable=True),
    )

    assert sorted(os.listdir(tree)) == [".git", "file", "fine"]
    assert os.listdir(tree / ".git") == []


async def test_a_single_file_can_be_shown(shell: Shell, tree: Path) -> None:
    outcome, text = await shell("cat /deep/er/one", Mount(source=str(tree / "file"), target="/deep/er/one"))

    assert (outcome.exit_code, text) == (0, "original")


async def test_what_is_mounted_below_a_shown_directory_is_read_only_too(shell: Shell) -> None:
    shared = Path("/dev/shm")
    if not os.path.ismount(shared):
        pytest.skip("/dev/shm is no mount of its own here")
    outcome, text = await shell("touch /d/shm/x", Mount(source="/dev", target="/d"))

    assert outcome.exit_code == 1
    assert "Read-only file system" in text


async def test_a_link_can_be_made_inside(shell: Shell, tree: Path) -> None:
    outcome, text = await shell(
        "cat /some/where/file; readlink /some/where",
        Mount(source=str(tree), target="/real"),
        Mount(source="/real", target="/some/where", link=True),
    )

    assert (outcome.exit_code, text) == (0, "original/real\n")


async def test_a_missing_source_is_an_error_of_the_set_up(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="missing") as caught:
        await shell("true", Mount(source=str(tmp_path / "missing"), target="/w"))

    assert "No such file" in caught.value.cause


async def test_a_missing_working_directory_is_an_error_of_the_set_up(shell: Shell) -> None:
    with pytest.raises(SandboxError, match="nowhere"):
        await shell("true", cwd="/nowhere")


async def test_nothing_is_made_in_a_directory_of_the_host(shell: Shell, tree: Path) -> None:
    with pytest.raises(SandboxError, match="mount"):
        await shell(
            "true",
            Mount(source=str(tree), target="/w", writable=True),
            Mount(source="/usr", target="/w/sub"),
        )

    assert os.listdir(tree) == ["file"]


async def test_an_untrusted_link_cannot_choose_where_a_mount_ends_up(shell: Shell, tree: Path) -> None:
    (tree / ".git").symlink_to("/tmp")

    with pytest.raises(SandboxError, match="symbolic link"):
        await shell(
            "true",
            Mount(source=str(tree), target="/w", writable=True),
            Mount(source="/usr", target="/w/.git"),
        )
