"""Work in a worktree becomes a commit; a patch is applied whole or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.git.broker import Broker
from libs.git.error import PatchError, WorktreeError
from libs.git.worktree import Worktree

if TYPE_CHECKING:
    from tests.integration.git.conftest import Source

_WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

GOOD = b"""\
--- a/src/app.py
+++ b/src/app.py
@@ -1,2 +1,2 @@
 def f():
-    return 2
+    return 3
"""


@pytest.fixture
async def worktree(broker: Broker, source: Source, tmp_path: Path) -> Worktree:
    mirror = await broker.mirror(source.url)
    return await mirror.add_worktree(tmp_path / "data/work/t 1/repo", await mirror.resolve("main"))


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


async def test_a_patch_becomes_a_commit(broker: Broker, source: Source, worktree: Worktree) -> None:
    mirror = await broker.mirror(source.url)
    base = await worktree.head()
    await worktree.apply(GOOD)
    commit = await worktree.commit("Return three", when=_WHEN)
    assert commit is not None
    assert await worktree.head() == commit
    (change,) = await mirror.changes(base, commit)
    assert (change.path, change.status, change.added, change.removed) == ("src/app.py", "M", 1, 1)
    subprocess.run(["git", "fsck", "--strict"], cwd=mirror.path, check=True, capture_output=True, timeout=60)


async def test_the_same_work_at_the_same_time_is_the_same_commit(
    broker: Broker, source: Source, tmp_path: Path
) -> None:
    mirror = await broker.mirror(source.url)
    made = []
    for name, when in (("a", _WHEN), ("b", _WHEN.astimezone(timezone(timedelta(hours=9))))):
        worktree = await mirror.add_worktree(tmp_path / "data" / name, await mirror.resolve("main"))
        await worktree.apply(GOOD)
        made.append(await worktree.commit("m", when=when))
    assert made[0] == made[1]
    assert made[0] is not None
    with pytest.raises(ValueError, match="time zone"):
        await worktree.commit("m", when=_WHEN.replace(tzinfo=None))


async def test_edits_additions_removals_and_modes_are_committed_and_ignored_files_are_not(
    broker: Broker, source: Source, worktree: Worktree
) -> None:
    mirror = await broker.mirror(source.url)
    base = await worktree.head()
    (worktree.path / ".gitignore").write_text("*.pyc\n")
    (worktree.path / "src/app.pyc").write_bytes(b"\0")
    (worktree.path / "src/new file\n.txt").write_text("new")
    (worktree.path / "run.sh").chmod(0o644)
    (worktree.path / "README.md").unlink()
    (worktree.path / "README.md").symlink_to("/etc/passwd")
    os.mkfifo(worktree.path / "pipe")
    commit = await worktree.commit("m", when=_WHEN)
    assert commit is not None
    changes = {change.path: change for change in await mirror.changes(base, commit)}
    assert {path: change.status for path, change in changes.items()} == {
        ".gitignore": "A",
        "README.md": "T",
        "run.sh": "M",
        "src/new file\n.txt": "A",
    }
    assert (changes["run.sh"].old_mode, changes["run.sh"].new_mode) == ("100755", "100644")
    assert changes[".gitignore"].old_blob is None
    assert await mirror.blob(commit, "README.md") == b"/etc/passwd"


async def test_no_difference_is_no_commit(worktree: Worktree) -> None:
    base = await worktree.head()
    assert await worktree.commit("nothing", when=_WHEN) is None
    (worktree.path / "src/app.py").write_text("x")
    (worktree.path / "src/app.py").write_text("def f():\n    return 2\n")
    assert await worktree.commit("nothing", when=_WHEN) is None
    assert await worktree.head() == base


async def test_an_edit_in_the_instant_of_the_checkout_is_seen(
    broker: Broker, source: Source, tmp_path: Path
) -> None:
    """Same size, same second: git can tell the difference only by the age of its index."""
    mirror = await broker.mirror(source.url)
    worktree = await mirror.add_worktree(tmp_path / "data/work/t", await mirror.resolve("main"))
    (worktree.path / "README.md").write_text("HELLO\n")
    edited = (worktree.path / "README.md").stat().st_mtime
    while int(time.time()) == int(edited):
        await asyncio.sleep(0.01)
    assert await worktree.commit("m", when=_WHEN) is not None


async def test_the_canonical_patch_of_a_commit_makes_the_same_tree(
    broker: Broker, source: Source, tmp_path: Path
) -> None:
    base = source.commit()
    source.write("bin ary", bytes(range(256)))
    source.write("new\nline", "x")
    source.write("no newline", "x")
    source.git("mv", "README.md", "READ ME ümläut.md")
    source.write("run.sh", "#!/bin/sh\n", executable=False)
    (source.path / "run.sh").chmod(0o644)
    (source.path / "link").symlink_to("../outside")
    commit = source.commit()
    mirror = await broker.mirror(source.url)
    patch = await mirror.diff(base, commit)
    assert patch == await mirror.diff(base, commit)
    worktree = await mirror.add_worktree(tmp_path / "data/w", base)
    await worktree.apply(patch)
    made = await worktree.commit("m", when=_WHEN)
    assert made is not None
    assert await mirror.tree(made) == await mirror.tree(commit)
    binary = next(change for change in await mirror.changes(base, commit) if change.path == "bin ary")
    assert (binary.binary, binary.added) == (True, 0)


async def test_patches_as_people_send_them_apply(worktree: Worktree) -> None:
    mail = b"From 123 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] x\n\n---\n src/app.py | 2 +-\n\n" + GOOD
    await worktree.apply(mail + b"-- \n2.39.5\n")
    assert b"return 3" in (worktree.path / "src/app.py").read_bytes()


@pytest.mark.parametrize(
    ("patch", "words", "path", "line"),
    [
        (GOOD.replace(b"return 2", b"return 7"), "patch failed", "src/app.py", 1),
        (GOOD.replace(b"app.py", b"gone.py"), "does not exist", "src/gone.py", None),
        (GOOD.replace(b"@@ -1,2 +1,2 @@", b"@@ -1,9 +1,9 @@"), "corrupt patch", None, 7),
        (b"", "patch", None, None),
        (b"just words\n", "patch", None, None),
    ],
)
async def test_a_patch_that_does_not_apply_says_where(
    worktree: Worktree, patch: bytes, words: str, path: str | None, line: int | None
) -> None:
    with pytest.raises(PatchError) as caught:
        await worktree.apply(patch)
    assert words in caught.value.cause
    assert (caught.value.path, caught.value.line) == (path, line)


async def test_half_of_a_patch_is_never_applied(worktree: Worktree) -> None:
    before = content(worktree.path)
    added = b"--- /dev/null\n+++ b/added.txt\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(PatchError):
        await worktree.apply(added + GOOD.replace(b"return 2", b"return 7"))
    assert content(worktree.path) == before
    assert await worktree.commit("m", when=_WHEN) is None
    await worktree.apply(added + GOOD)
    assert (worktree.path / "added.txt").exists()


def adding(name: str, *, mode: str = "100644", text: str = "x") -> bytes:
    return (
        f"diff --git a/{name} b/{name}\nnew file mode {mode}\n--- /dev/null\n+++ b/{name}\n"
        f"@@ -0,0 +1 @@\n+{text}\n\\ No newline at end of file\n"
    ).encode()


@pytest.mark.parametrize(
    "patch",
    [
        adding(".git/hooks/post-checkout", mode="100755"),
        adding("src/.git/config"),
        adding(".GIT/config"),
        adding("../escaped.txt"),
        adding("src/../../escaped.txt"),
        adding("/escaped.txt"),
        adding("way/escaped.txt"),
        adding("way2", mode="120000", text="..") + adding("way2/escaped.txt"),
        b"--- a/../escaped.txt\n+++ b/../escaped.txt\n@@ -0,0 +1 @@\n+x\n",
        b"diff --git a/m b/m\nnew file mode 160000\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n"
        b"+Subproject commit 1234567890123456789012345678901234567890\n",
        b"diff --git a/way b/way/escaped.txt\nrename from way\nrename to way/../../escaped.txt\n",
    ],
)
async def test_a_patch_cannot_reach_git_or_the_outside(
    broker: Broker, source: Source, tmp_path: Path, patch: bytes
) -> None:
    (source.path / "way").symlink_to("..")
    base = source.commit()
    mirror = await broker.mirror(source.url)
    worktree = await mirror.add_worktree(tmp_path / "data/work/w", base)
    around = content(tmp_path / "data/work")
    with pytest.raises(PatchError):
        await worktree.apply(patch)
    assert content(tmp_path / "data/work") == around
    assert await worktree.commit("m", when=_WHEN) is None


async def test_a_folder_swapped_for_a_symlink_on_disk_is_not_written_through(
    worktree: Worktree, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "app.py").write_text("def f():\n    return 2\n")
    (worktree.path / "src/app.py").unlink()
    (worktree.path / "src").rmdir()
    (worktree.path / "src").symlink_to(outside)
    with pytest.raises(PatchError):
        await worktree.apply(GOOD)
    assert (outside / "app.py").read_text() == "def f():\n    return 2\n"


async def test_another_process_finds_the_worktree_again(
    broker: Broker, source: Source, worktree: Worktree
) -> None:
    mirror = await Broker(broker.data_dir).mirror(source.url)
    found = mirror.worktree(worktree.path)
    assert found is not None
    assert await found.head() == await worktree.head()
    assert mirror.worktree(worktree.path.parent) is None


async def test_an_existing_folder_is_not_overwritten(broker: Broker, source: Source, tmp_path: Path) -> None:
    mirror = await broker.mirror(source.url)
    commit = await mirror.resolve("main")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    for name in ("full", "file", "link"):
        with pytest.raises(WorktreeError):
            await mirror.add_worktree(tmp_path / name, commit)
        with pytest.raises(WorktreeError):
            await mirror.export(commit, tmp_path / name)
        with pytest.raises(WorktreeError):
            await mirror.remove_worktree(tmp_path / name)
    assert content(tmp_path / "full") == {"mine.txt": b"mine"}


async def test_removing_never_takes_more_than_work(
    broker: Broker, source: Source, worktree: Worktree
) -> None:
    mirror = await broker.mirror(source.url)
    for path in (
        *(broker.data_dir, broker.data_dir / "work", broker.data_dir / "mirrors", mirror.path, source.path),
        *(broker.data_dir / "work/../mirrors", broker.data_dir.parent),
    ):
        with pytest.raises(WorktreeError, match="nothing removed"):
            await mirror.remove_worktree(path)
    assert await worktree.head() == await mirror.resolve("main")


async def test_the_folder_of_a_whole_task_goes_with_its_worktrees(
    broker: Broker, source: Source, worktree: Worktree
) -> None:
    mirror = await broker.mirror(source.url)
    commit = await mirror.resolve("main")
    await mirror.add_worktree(worktree.path.with_name("second"), commit, branch="autopilot/t")
    (worktree.path / "src").chmod(0)
    await mirror.remove_worktree(worktree.path.parent)
    assert not worktree.path.parent.exists()
    assert list((mirror.path / "worktrees").iterdir()) == []
    await mirror.add_worktree(worktree.path, commit, branch="autopilot/t")


@pytest.mark.parametrize("damage", ["nothing", "folder", "dot git", "registration", "gitdir file", "both"])
async def test_removing_works_twice_and_after_half_of_it(
    broker: Broker, source: Source, worktree: Worktree, damage: str
) -> None:

    mirror = await broker.mirror(source.url)
    (entry,) = (mirror.path / "worktrees").iterdir()
    if damage in ("folder", "both"):
        shutil.rmtree(worktree.path)
    if damage == "dot git":
        (worktree.path / ".git").unlink()
    if damage in ("registration", "both"):
        shutil.rmtree(entry)
    if damage == "gitdir file":
        (entry / "gitdir").unlink()
    for _ in range(2):
        await mirror.remove_worktree(worktree.path)
        assert not worktree.path.exists()
        assert mirror.worktree(worktree.path) is None
    again = await mirror.add_worktree(worktree.path, await mirror.resolve("main"), branch="autopilot/t")
    assert await again.head() == await mirror.resolve("main")


async def test_a_vanished_neighbour_does_not_take_a_living_worktree_along(
    broker: Broker, source: Source, worktree: Worktree, tmp_path: Path
) -> None:
    mirror = await broker.mirror(source.url)
    (worktree.path / ".git").unlink()  # as the sandbox may do
    other = await mirror.add_worktree(tmp_path / "data/work/other", await mirror.resolve("main"))
    await mirror.remove_worktree(other.path)
    await worktree.apply(GOOD)
    assert await worktree.commit("m", when=_WHEN)


async def test_a_branch_starts_over_at_the_commit_it_is_given(
    broker: Broker, source: Source, tmp_path: Path
) -> None:
    mirror = await broker.mirror(source.url)
    first, head = await mirror.resolve("v1"), await mirror.resolve("main")
    path = tmp_path / "data/w"
    worktree = await mirror.add_worktree(path, head, branch="autopilot/t")
    await worktree.apply(GOOD)
    made = await worktree.commit("m", when=_WHEN)
    assert await mirror.repository.object_id("refs/heads/autopilot/t") == made
    with pytest.raises(WorktreeError, match="autopilot/t"):
        await mirror.add_worktree(tmp_path / "data/w2", first, branch="autopilot/t")
    await mirror.remove_worktree(path)
    again = await mirror.add_worktree(path, first, branch="autopilot/t")
    assert await again.head() == first
    for name in ("-b", "a..b", "x.lock", ""):
        with pytest.raises(WorktreeError):
            await mirror.add_worktree(tmp_path / "data/w3", first, branch=name)


_PROCESS = """
import asyncio, sys
from pathlib import Path
from libs.git.broker import Broker

async def main(data, url, name):
    mirror = await Broker(Path(data)).mirror(url)
    commit = await mirror.resolve("main")

    async def once(number):
        path = Path(data) / "work" / f"{name}-{number}" / "repo"
        worktree = await mirror.add_worktree(path, commit, branch=f"autopilot/{name}-{number}")
        assert (path / "src/app.py").exists() and await worktree.head() == commit
        await mirror.remove_worktree(path)
        assert not path.exists()

    await asyncio.gather(*(once(number) for number in range(10)))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_add_and_remove_worktrees_of_one_new_mirror(
    broker: Broker, source: Source
) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", _PROCESS, str(broker.data_dir), source.url, name),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        for name in ("one", "two")
    ]
    async with asyncio.timeout(60):
        for process in processes:
            _, words = await process.communicate()
            assert process.returncode == 0, words.decode()
    mirror = await broker.mirror(source.url)
    assert list((mirror.path / "worktrees").glob("*")) == []
    assert not list(mirror.path.rglob("*.lock"))
