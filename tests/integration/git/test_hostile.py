"""Nothing that a repository says is ever executed, and a checkout is exactly what was committed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.git.broker import Broker
from libs.git.error import GitError, PushError, UnsupportedRepositoryError

if TYPE_CHECKING:
    from tests.integration.git.conftest import Source

_WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_HOOKS = (
    *("post-checkout", "pre-commit", "post-commit", "commit-msg", "prepare-commit-msg", "pre-push", "update"),
    *(
        "pre-receive",
        "post-receive",
        "post-update",
        "reference-transaction",
        "post-index-change",
        "fsmonitor",
    ),
    *("pre-applypatch", "applypatch-msg", "post-merge", "post-rewrite", "pre-auto-gc", "push-to-checkout"),
)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that comes into being if anything of a hostile repository is run."""
    return tmp_path / "canary"


def booby_trap(repository: Source, git_dir: Path, canary: Path) -> None:
    """Puts every way we know of to have git run something into a repository's hooks and configuration."""
    program = git_dir / "trap.sh"
    program.write_text(f'#!/bin/sh\necho ran "$0" "$@" >> \'{canary}\'\ncat\n')
    program.chmod(0o755)
    hooks = git_dir / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in _HOOKS:
        (hooks / name).write_text(program.read_text())
        (hooks / name).chmod(0o755)
    included = git_dir / "included.config"
    included.write_text(f'[core]\n\tfsmonitor = "{program}"\n[uploadpack]\n\tpackObjectsHook = "{program}"\n')
    for key in (
        *("core.fsmonitor", "core.sshCommand", "core.alternateRefsCommand", "core.pager", "core.editor"),
        *("core.gitProxy", "core.askPass", "uploadpack.packObjectsHook", "filter.evil.clean"),
        *("filter.evil.smudge", "filter.evil.process", "diff.evil.textconv", "diff.evil.command"),
        *("diff.external", "merge.evil.driver", "gpg.program", "credential.helper", "sequence.editor"),
        *("remote.origin.uploadpack", "remote.origin.receivepack", "browser.evil.cmd", "alias.upload-pack"),
    ):
        repository.git("config", "--file", str(git_dir / "config"), key, str(program))
    for key, value in (
        ("core.hooksPath", str(hooks)),
        ("include.path", str(included)),
        ("filter.evil.required", "true"),
        ("commit.gpgSign", "true"),
        ("core.attributesFile", str(git_dir / "attributes")),
        ("receive.denyCurrentBranch", "updateInstead"),
    ):
        repository.git("config", "--file", str(git_dir / "config"), key, value)
    (git_dir / "attributes").write_text("* filter=evil diff=evil merge=evil\n")


async def test_hooks_configuration_and_attributes_leave_no_trace(
    broker: Broker, source: Source, tmp_path: Path, canary: Path
) -> None:
    source.write(".gitattributes", "* filter=evil diff=evil merge=evil text=auto\n")
    source.commit()
    booby_trap(source, source.path / ".git", canary)

    mirror = await broker.mirror(source.url)
    commit = await mirror.resolve("main")
    first = await mirror.resolve("v1")
    worktree = await mirror.add_worktree(tmp_path / "data/w", commit, branch="autopilot/t")
    (worktree.path / "src/app.py").write_text("changed\n")
    work = await worktree.commit("work", when=_WHEN)
    assert work is not None
    await worktree.apply(await mirror.diff(work, commit))
    other = await worktree.commit("back", when=_WHEN)
    assert other is not None
    await mirror.changes(first, work)
    await mirror.merge([work, other])
    await mirror.export(work, tmp_path / "data/e")
    await mirror.bundle(work, tmp_path / "data/b.bundle")
    await mirror.fetch_commit(str(source.path), "refs/heads/main")
    await mirror.push(source.url, work, "refs/heads/autopilot/t", expected=None)
    await mirror.remove_worktree(worktree.path)
    assert not canary.exists()


async def test_a_source_with_borrowed_objects_or_a_promise_runs_nothing(
    broker: Broker, source: Source, make_source: Callable[..., Source], canary: Path
) -> None:
    borrower = make_source("borrower")
    (borrower.path / ".git/objects/info/alternates").write_text(f"{source.path}/.git/objects\n")
    borrower.git("update-ref", "refs/heads/main", source.git("rev-parse", "main"))
    booby_trap(borrower, borrower.path / ".git", canary)
    mirror = await broker.mirror(borrower.url)
    commit = await mirror.resolve("main")
    await mirror.push(borrower.url, commit, "refs/heads/autopilot/t", expected=None)
    assert not canary.exists()

    source.git("config", "uploadpack.allowFilter", "true")
    promised = make_source("promised")
    promised.git("remote", "add", "origin", f"file://{source.path}")
    promised.git("fetch", "--quiet", "--filter=blob:none", "origin")
    promised.git("update-ref", "refs/heads/main", "refs/remotes/origin/main")
    assert promised.git("config", "remote.origin.promisor") == "true"
    booby_trap(promised, promised.path / ".git", canary)
    with pytest.raises(GitError):
        await broker.mirror(promised.url)
    assert not canary.exists()


async def test_a_push_into_somebodys_checkout_changes_no_file_there(
    broker: Broker, source: Source, tmp_path: Path, canary: Path
) -> None:
    booby_trap(source, source.path / ".git", canary)
    mirror = await broker.mirror(source.url)
    commit = await mirror.resolve("main")
    with pytest.raises(PushError):
        await mirror.push(source.url, await mirror.resolve("v1"), "refs/heads/main", expected=commit)
    assert (source.path / "src/app.py").read_text() == "def f():\n    return 2\n"
    assert not canary.exists()


async def test_a_worktree_rewritten_from_inside_runs_nothing(
    broker: Broker, source: Source, make_source: Callable[..., Source], tmp_path: Path, canary: Path
) -> None:
    """The sandbox may replace the `.git` file; the product must not follow it."""
    mirror = await broker.mirror(source.url)
    commit = await mirror.resolve("main")
    worktree = await mirror.add_worktree(tmp_path / "data/w", commit)
    fake = make_source("fake")
    fake.write("fake.txt")
    fake.commit()
    booby_trap(fake, fake.path / ".git", canary)
    (worktree.path / ".git").unlink()
    (fake.path / ".git").rename(worktree.path / ".git")
    (worktree.path / "src/app.py").write_text("changed\n")

    assert await worktree.head() == commit
    made = await worktree.commit("work", when=_WHEN)
    assert made is not None
    assert [change.path for change in await mirror.changes(commit, made)] == ["src/app.py"]
    await worktree.apply(await mirror.diff(made, commit))
    await mirror.remove_worktree(worktree.path)
    assert not canary.exists()
    assert not worktree.path.exists()


async def test_a_repository_made_inside_a_worktree_is_refused_and_never_entered(
    broker: Broker, source: Source, tmp_path: Path, canary: Path, make_source: Callable[..., Source]
) -> None:
    mirror = await broker.mirror(source.url)
    commit = await mirror.resolve("main")
    worktree = await mirror.add_worktree(tmp_path / "data/w", commit)
    nested = make_source("data/w/src/nested")
    with pytest.raises(UnsupportedRepositoryError, match="src/nested"):
        await worktree.commit("work", when=_WHEN)
    nested.write("a.txt")
    nested.commit()
    booby_trap(nested, nested.path / ".git", canary)
    for _ in range(2):
        with pytest.raises(UnsupportedRepositoryError, match="src/nested"):
            await worktree.commit("work", when=_WHEN)
    assert await worktree.head() == commit
    assert not canary.exists()


async def test_attributes_cannot_change_what_is_checked_out(
    broker: Broker, source: Source, tmp_path: Path
) -> None:
    source.write("unix.txt", "a\nb\n")
    source.write("dos.txt", "a\r\nb\r\n")
    source.write("ident.txt", "$Id$\n")
    source.write("wide.txt", "wide\n")
    source.write("large.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    source.write("secret.txt", "$Format:%H$\n")
    source.git("config", "core.autocrlf", "false")
    source.commit()
    source.write(
        ".gitattributes",
        "unix.txt text eol=crlf\ndos.txt text=auto\nident.txt ident\nwide.txt working-tree-encoding=UTF-16\n"
        "large.bin filter=lfs diff=lfs merge=lfs -text\nsecret.txt export-ignore export-subst\n",
    )
    # Written past the index's conversions: what is committed are the bytes above.
    blob = source.git("hash-object", "-w", "--no-filters", ".gitattributes")
    source.git("update-index", "--add", "--cacheinfo", f"100644,{blob},.gitattributes")
    tree = source.git("write-tree")
    commit = source.git("commit-tree", tree, "-p", "HEAD", "-m", "attributes")
    source.git("update-ref", "refs/heads/attributed", commit)

    mirror = await broker.mirror(source.url)
    await mirror.export(commit, tmp_path / "export")
    worktree = await mirror.add_worktree(tmp_path / "data/w", commit)
    for folder in (tmp_path / "export", worktree.path):
        assert (folder / "unix.txt").read_bytes() == b"a\nb\n"
        assert (folder / "dos.txt").read_bytes() == b"a\r\nb\r\n"
        assert (folder / "ident.txt").read_bytes() == b"$Id$\n"
        assert (folder / "wide.txt").read_bytes() == b"wide\n"
        assert (folder / "secret.txt").read_bytes() == b"$Format:%H$\n"
    (worktree.path / ".git").unlink()
    assert source.tree_of(tmp_path / "export") == tree
    assert source.tree_of(worktree.path) == tree
    assert await worktree.commit("nothing", when=_WHEN) is None


async def test_attributes_cannot_hide_lines(broker: Broker, source: Source) -> None:
    base = source.commit()
    source.write(".gitattributes", "*.py -diff\n*.py binary\n")
    source.write("src/app.py", "def f():\n    return 3\n")
    commit = source.commit()
    mirror = await broker.mirror(source.url)
    change = next(change for change in await mirror.changes(base, commit) if change.path == "src/app.py")
    assert (change.binary, change.added, change.removed) == (False, 1, 1)
    assert b"+    return 3\n" in await mirror.diff(base, commit)


async def test_submodules_are_refused_by_name(
    broker: Broker, source: Source, make_source: Callable[..., Source], tmp_path: Path
) -> None:
    other = make_source("other")
    other.write("a.txt")
    other.commit()
    source.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.url, "vendor/other")
    commit = source.commit()
    mirror = await broker.mirror(source.url)
    assert await mirror.resolve("main") == commit
    assert {entry.path: entry.kind for entry in await mirror.files(commit)}["vendor/other"] == "submodule"
    for call in (
        mirror.check(commit),
        mirror.export(commit, tmp_path / "e"),
        mirror.add_worktree(tmp_path / "w", commit),
    ):
        with pytest.raises(UnsupportedRepositoryError, match=r"submodules \(vendor/other\)"):
            await call
    assert not (tmp_path / "e").exists()
    assert not (tmp_path / "w").exists()
    await mirror.check(await mirror.resolve("v1"))


async def test_symlinks_that_point_outside_stay_links(broker: Broker, source: Source, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep")
    (source.path / "link").symlink_to(outside)
    (source.path / "up").symlink_to("../../../../../../etc")
    (source.path / "dangling").symlink_to("/nowhere")
    commit = source.commit()
    mirror = await broker.mirror(source.url)
    await mirror.export(commit, tmp_path / "export")
    worktree = await mirror.add_worktree(tmp_path / "data/w", commit)
    for folder in (tmp_path / "export", worktree.path):
        assert (folder / "link").readlink() == outside
        assert (folder / "up").is_symlink()
        assert (folder / "dangling").is_symlink()
        assert (folder / "run.sh").stat().st_mode & 0o111
    await mirror.remove_worktree(worktree.path)
    assert (outside / "precious").read_text() == "keep"


@pytest.mark.parametrize("name", [".git", ".GIT", "..", ".git\u200c"])
async def test_a_tree_that_reaches_for_git_or_outside_is_not_written(
    broker: Broker, source: Source, tmp_path: Path, name: str
) -> None:
    blob = source.git("hash-object", "-w", "--stdin", data=b"[core]\n\tfsmonitor = evil\n")
    inner = bytes.fromhex(source.git("mktree", data=f"100644 blob {blob}\tconfig\n".encode()))
    raw = b"40000 " + name.encode() + b"\0" + inner
    tree = source.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=raw)
    commit = source.git("commit-tree", tree, "-m", "evil")
    source.git("update-ref", "refs/heads/evil", commit)
    mirror = await broker.mirror(source.url)
    for call in (
        mirror.export(commit, tmp_path / "deep/e"),
        mirror.add_worktree(tmp_path / "deep/data/w", commit),
    ):
        with pytest.raises(GitError):
            await call
    assert not list((tmp_path / "deep").rglob("config"))
    assert mirror.worktree(tmp_path / "deep/data/w") is None


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% /tmp/x", "fd::3", "-u/tmp/x", "foo://x/y", "relative/path", ""]
)
async def test_addresses_that_are_programs_are_refused(broker: Broker, url: str) -> None:
    with pytest.raises(UnsupportedRepositoryError):
        await broker.mirror(url)
    with pytest.raises(UnsupportedRepositoryError):
        await broker.remote_ref(url, "refs/heads/main")


async def test_the_repository_around_the_data_directory_has_no_say(
    source: Source, make_source: Callable[..., Source], canary: Path
) -> None:
    """The default data directory lies inside the user's project, which may be hostile too."""
    project = make_source("project")
    booby_trap(project, project.path / ".git", canary)
    project.git("config", f"url.{project.path}.insteadOf", source.url)
    mirror = await Broker(project.path / ".autopilot", timeout_s=30).mirror(source.url)
    assert await mirror.resolve("main") == source.git("rev-parse", "main")
    assert not canary.exists()
