"""A mirror is a private, current, complete copy; the source is only read."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.git.broker import Broker
from libs.git.error import (
    CloneError,
    GitTimeoutError,
    OversizeError,
    UnknownRevisionError,
    UnsupportedRepositoryError,
)

if TYPE_CHECKING:
    from tests.integration.git.conftest import Source


async def test_branches_tags_and_commits_resolve(broker: Broker, source: Source) -> None:
    mirror = await broker.mirror(source.url)
    head, first = source.git("rev-parse", "HEAD"), source.git("rev-parse", "v1")

    assert mirror.path == broker.data_dir / "mirrors" / f"{broker.repo_key(source.url)}.git"
    assert await mirror.resolve("main") == head
    assert await mirror.resolve("refs/heads/main") == head
    assert await mirror.resolve("HEAD") == head
    assert await mirror.resolve("v1") == first
    assert await mirror.resolve(first) == first
    assert await mirror.resolve(first[:10]) == first
    assert await mirror.tree(head) == source.git("rev-parse", "HEAD^{tree}")


@pytest.mark.parametrize(
    "revision",
    [
        "nowhere",
        "-main",
        "--all",
        "main..v1",
        "main@{1}",
        "main~1",
        "HEAD^",
        "main:README.md",
        "",
        "a b",
        "@",
    ],
)
async def test_an_unknown_or_crafted_revision_is_named(broker: Broker, source: Source, revision: str) -> None:
    mirror = await broker.mirror(source.url)
    with pytest.raises(UnknownRevisionError) as caught:
        await mirror.resolve(revision)
    assert caught.value.revision == revision
    assert source.url in str(caught.value)


async def test_a_commit_that_no_branch_holds_is_asked_of_the_source(broker: Broker, source: Source) -> None:
    mirror = await broker.mirror(source.url)
    source.git("checkout", "--quiet", "--detach")
    source.write("new.txt")
    loose = source.commit("on no branch")
    assert await mirror.resolve(loose) == loose
    with pytest.raises(UnknownRevisionError):
        await mirror.resolve("0123456789" * 4)


async def test_the_mirror_follows_the_source(broker: Broker, source: Source) -> None:
    source.git("branch", "old")
    old = await (await broker.mirror(source.url)).resolve("old")
    source.git("branch", "-D", "old")
    source.git("branch", "old/deeper")
    source.write("more.txt")
    newest = source.commit()
    mirror = await broker.mirror(source.url)
    assert await mirror.resolve("main") == newest
    assert await mirror.resolve("old/deeper")
    assert await mirror.resolve(old) == old
    with pytest.raises(UnknownRevisionError):
        await mirror.resolve("old")


async def test_objects_are_copied_not_linked(broker: Broker, source: Source) -> None:
    mirror = await broker.mirror(source.url)
    assert not (mirror.path / "objects" / "info" / "alternates").exists()
    assert {path.stat().st_nlink for path in mirror.path.rglob("*") if path.is_file()} == {1}


async def test_the_users_checkout_is_untouched_byte_for_byte(
    broker: Broker, source: Source, tmp_path: Path, fingerprint: Callable[[Path], str]
) -> None:
    source.write("src/app.py", "unfinished work\n")
    source.write("untracked.txt")
    source.write("staged.txt")
    source.git("add", "staged.txt")
    before = fingerprint(source.path)

    mirror = await broker.mirror(source.url)
    commit = await mirror.resolve("main")
    worktree = await mirror.add_worktree(tmp_path / "data/work/t", commit, branch="autopilot/t")
    (worktree.path / "x.txt").write_text("x")
    await mirror.export(commit, tmp_path / "data/export")
    await mirror.remove_worktree(worktree.path)
    await broker.mirror(source.url)

    assert fingerprint(source.path) == before
    assert not (tmp_path / "data/work/t").exists()


async def test_an_empty_repository_is_named(broker: Broker, make_source: Callable[..., Source]) -> None:
    empty = make_source("empty")
    with pytest.raises(UnsupportedRepositoryError, match="it is empty"):
        await broker.mirror(empty.url)
    assert broker.existing(empty.url) is None


async def test_an_unreadable_address_leaves_nothing(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for url in (str(tmp_path / "nothing"), str(tmp_path / "folder"), f"file://{tmp_path}/nothing"):
        with pytest.raises(CloneError) as caught:
            await broker.mirror(url)
        assert str(tmp_path) in str(caught.value)
        assert "check the path" in str(caught.value)
        assert not caught.value.transient
        assert broker.existing(url) is None


async def test_a_refused_connection_may_be_tried_again_and_hides_the_password(broker: Broker) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(CloneError) as caught:
            await broker.mirror(f"http://user:hunter2@127.0.0.1:{taken.getsockname()[1]}/x.git")
    assert caught.value.transient
    assert "hunter2" not in str(caught.value)


async def test_a_silent_server_is_given_up_and_nothing_survives(tmp_path: Path, source: Source) -> None:
    broker = Broker(tmp_path / "data", timeout_s=1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.git"
        with pytest.raises(GitTimeoutError):
            await broker.mirror(url)
        assert not [line for line in _command_lines() if url in line]


async def test_a_cancelled_call_takes_its_git_along(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data", timeout_s=60)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.setblocking(False)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.git"
        call = asyncio.create_task(broker.mirror(url))
        connection, _ = await asyncio.get_running_loop().sock_accept(silent)
        with connection:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert not [line for line in _command_lines() if url in line]


async def test_a_shallow_source_works(
    broker: Broker, source: Source, make_source: Callable[..., Source]
) -> None:
    shallow = make_source("shallow")
    shallow.git("fetch", "--quiet", "--depth=1", f"file://{source.path}", "main:refs/heads/work")
    mirror = await broker.mirror(shallow.url)
    assert await mirror.resolve("work") == source.git("rev-parse", "main")


async def test_a_sha256_source_works(broker: Broker, make_source: Callable[..., Source]) -> None:
    modern = make_source("modern", "--object-format=sha256")
    modern.write("a.txt")
    commit = modern.commit()
    mirror = await broker.mirror(modern.url)
    assert await mirror.resolve("main") == commit
    assert [entry.path for entry in await mirror.files(commit)] == ["a.txt"]


async def test_files_name_kind_mode_and_size_of_odd_names(broker: Broker, source: Source) -> None:
    for name in ("with space.txt", "new\nline.txt", "tab\t.txt", "ümläut/日本.txt", '"quoted"', "-dash"):
        source.write(name, name)
    (source.path / "outside").symlink_to("/etc/passwd")
    (source.path / "parent").symlink_to("../..")
    commit = source.commit()
    mirror = await broker.mirror(source.url)
    entries = {entry.path: entry for entry in await mirror.files(commit)}

    assert set(entries) >= {"with space.txt", "new\nline.txt", "ümläut/日本.txt", '"quoted"', "-dash"}
    assert entries["run.sh"].kind == "executable"
    assert entries["outside"].kind == "symlink"
    assert entries["README.md"].size == len("hello\n")
    for name in ("with space.txt", "new\nline.txt", "tab\t.txt", "ümläut/日本.txt", '"quoted"', "-dash"):
        assert await mirror.blob(commit, name) == name.encode()
    assert await mirror.blob(commit, "outside") == b"/etc/passwd"


async def test_names_that_are_not_utf8_survive(broker: Broker, source: Source) -> None:
    source.write("caf\udce9.txt", "latin")
    commit = source.commit()
    mirror = await broker.mirror(source.url)
    assert "caf\udce9.txt" in {entry.path for entry in await mirror.files(commit)}
    assert await mirror.blob(commit, "caf\udce9.txt") == b"latin"


@pytest.mark.parametrize(
    "path", ["nothing", "src", "src/", "", "../README.md", "/README.md", "*.md", "./README.md"]
)
async def test_a_blob_that_is_not_there_is_none(broker: Broker, source: Source, path: str) -> None:
    mirror = await broker.mirror(source.url)
    assert await mirror.blob(await mirror.resolve("main"), path) is None


async def test_a_blob_above_the_cap_is_refused_by_its_size(broker: Broker, source: Source) -> None:
    mirror = await broker.mirror(source.url)
    with pytest.raises(OversizeError) as caught:
        await mirror.blob(await mirror.resolve("main"), "README.md", limit=5)
    assert (caught.value.what, caught.value.size, caught.value.limit) == ("README.md", 6, 5)


async def test_a_commit_that_is_not_here_is_named(broker: Broker, source: Source, tmp_path: Path) -> None:
    mirror = await broker.mirror(source.url)
    known, unknown = await mirror.resolve("main"), "1234567890" * 4
    for call in (
        mirror.tree(unknown),
        mirror.files(unknown),
        mirror.diff(known, unknown),
        mirror.changes(unknown, known),
        mirror.export(unknown, tmp_path / "e"),
        mirror.add_worktree(tmp_path / "w", unknown),
        mirror.merge([known, unknown]),
        mirror.bundle(unknown, tmp_path / "b"),
        mirror.tree("main"),
    ):
        with pytest.raises(UnknownRevisionError):
            await call
    assert not (tmp_path / "e").exists()
    assert not (tmp_path / "w").exists()


async def test_a_commit_of_another_repository_is_brought_in(
    broker: Broker, source: Source, make_source: Callable[..., Source]
) -> None:
    other = make_source("other.git")
    other.write("other.txt")
    commit = other.commit()
    other.git("update-ref", "refs/pull/1/head", commit)
    mirror = await broker.mirror(source.url)
    assert await mirror.fetch_commit(str(other.path), "refs/pull/1/head") == commit
    assert await mirror.blob(commit, "other.txt") == b"text\n"
    for ref in ("refs/pull/2/head", "main", "refs/--upload-pack=x:y"):
        with pytest.raises(UnknownRevisionError):
            await mirror.fetch_commit(str(other.path), ref)


async def test_a_repository_of_another_user_is_readable(broker: Broker, source: Source) -> None:
    """Git calls the ownership dubious; with hooks and configuration off, there is nothing to doubt."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for path in [source.path, *source.path.rglob("*")]:
        os.lchown(path, 12345, 12345)
    assert await (await broker.mirror(source.url)).resolve("main")


async def test_lock_files_of_a_killed_git_do_not_block_the_mirror(broker: Broker, source: Source) -> None:
    mirror = await broker.mirror(source.url)
    source.write("more.txt")
    newest = source.commit()
    (mirror.path / "refs/source/heads").mkdir(parents=True, exist_ok=True)
    (mirror.path / "refs/source/heads/main.lock").touch()
    (mirror.path / "packed-refs.lock").touch()
    assert await (await broker.mirror(source.url)).resolve("main") == newest


async def test_a_creation_that_was_cut_short_is_started_over(broker: Broker, source: Source) -> None:
    draft = broker.data_dir / "mirrors" / f"{broker.repo_key(source.url)}.draft"
    draft.mkdir(parents=True)
    (draft / "config.lock").touch()
    assert await (await broker.mirror(source.url)).resolve("main")


def _command_lines() -> list[str]:
    return [
        path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    ]
