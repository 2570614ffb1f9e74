"""Commits are merged, pushed and bundled without a checkout, and never over somebody else's work."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.git.broker import Broker
from libs.git.error import LeaseLostError, MergeConflictError, PushError
from libs.git.mirror import Mirror

if TYPE_CHECKING:
    from tests.integration.git.conftest import Source

REF = "refs/heads/autopilot/t"


@pytest.fixture
def target(broker: Broker) -> Path:
    """A bare repository below the data directory, as the local forge has them."""
    path = broker.data_dir / "forge" / "target.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(path)], check=True, timeout=60)
    return path


@pytest.fixture
async def branches(broker: Broker, source: Source) -> tuple[Mirror, str, str, str]:
    """A mirror with a base and two commits on it that do not touch each other."""
    base = source.git("rev-parse", "main")
    source.git("checkout", "--quiet", "-b", "one")
    source.write("one.txt", "1\n")
    one = source.commit("one")
    source.git("checkout", "--quiet", "-b", "two", base)
    source.write("two.txt", "2\n")
    two = source.commit("two")
    return await broker.mirror(source.url), base, one, two


async def test_merging_contains_everything_and_is_reproducible(
    branches: tuple[Mirror, str, str, str],
) -> None:
    mirror, base, one, two = branches
    merged = await mirror.merge([one, two])
    assert {entry.path for entry in await mirror.files(merged)} >= {"one.txt", "two.txt"}
    assert await mirror.contains(merged, one)
    assert await mirror.contains(merged, two)
    assert not await mirror.contains(one, two)
    assert await mirror.merge([one, two]) == merged
    assert await mirror.merge([base, one]) == one
    assert await mirror.merge([one, base, one]) == one
    assert await mirror.merge([one]) == one


async def test_a_conflict_names_the_paths(
    broker: Broker, source: Source, branches: tuple[Mirror, str, str, str], make_source: Callable[..., Source]
) -> None:
    _, base, one, _ = branches
    source.git("checkout", "--quiet", "-b", "three", base)
    source.write("one.txt", "other\n")
    source.write("new\nline", "other\n")
    three = source.commit("three")
    stranger = make_source("stranger")
    stranger.write("a.txt")
    unrelated = stranger.commit("unrelated")
    mirror = await broker.mirror(source.url)
    with pytest.raises(MergeConflictError) as caught:
        await mirror.merge([one, three])
    assert caught.value.paths == ("one.txt",)
    await mirror.fetch_commit(str(stranger.path), "refs/heads/main")
    with pytest.raises(MergeConflictError, match="nothing in common"):
        await mirror.merge([one, unrelated])


async def test_a_push_creates_moves_and_repeats(
    broker: Broker, branches: tuple[Mirror, str, str, str], target: Path
) -> None:
    mirror, base, one, two = branches
    assert await broker.remote_ref(str(target), REF) is None
    await mirror.push(str(target), one, REF, expected=None)
    await mirror.push(str(target), one, REF, expected=None)
    await mirror.push(str(target), two, REF, expected=one)
    await mirror.push(str(target), two, REF, expected=one)
    assert await broker.remote_ref(str(target), REF) == two
    await mirror.push(str(target), base, REF, expected=two)
    assert await broker.remote_ref(str(target), REF) == base


async def test_a_push_never_overwrites_what_it_has_not_seen(
    broker: Broker, branches: tuple[Mirror, str, str, str], target: Path
) -> None:
    mirror, base, one, two = branches
    with pytest.raises(LeaseLostError) as caught:
        await mirror.push(str(target), one, REF, expected=base)
    assert (caught.value.expected, caught.value.actual) == (base, None)
    await mirror.push(str(target), one, REF, expected=None)
    for expected in (None, base):
        with pytest.raises(LeaseLostError) as caught:
            await mirror.push(str(target), two, REF, expected=expected)
        assert caught.value.actual == one
    assert await broker.remote_ref(str(target), REF) == one


async def test_of_two_pushes_at_once_one_loses_its_lease(
    broker: Broker, branches: tuple[Mirror, str, str, str], target: Path
) -> None:
    mirror, base, one, two = branches
    await mirror.push(str(target), base, REF, expected=None)
    outcomes = await asyncio.gather(
        mirror.push(str(target), one, REF, expected=base),
        mirror.push(str(target), two, REF, expected=base),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [LeaseLostError]
    winner = one if outcomes[0] is None else two
    assert await broker.remote_ref(str(target), REF) == winner


async def test_a_lock_left_by_a_killed_push_does_not_block_the_branch(
    broker: Broker, branches: tuple[Mirror, str, str, str], target: Path
) -> None:
    mirror, _, one, _ = branches
    lock = target / f"{REF}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    await mirror.push(str(target), one, REF, expected=None)
    assert await broker.remote_ref(str(target), REF) == one


async def test_a_refused_push_says_why(
    branches: tuple[Mirror, str, str, str], source: Source, tmp_path: Path
) -> None:
    mirror, _, one, two = branches
    with pytest.raises(PushError, match="does not appear to be a git repository"):
        await mirror.push(str(tmp_path / "nothing.git"), one, REF, expected=None)
    with pytest.raises(PushError, match="checked out"):
        await mirror.push(source.url, one, "refs/heads/two", expected=two)
    for ref in ("main", "--all", "refs/heads/../x"):
        with pytest.raises(PushError, match="full ref name"):
            await mirror.push(source.url, one, ref, expected=None)


async def test_a_bundle_is_the_tree_and_nothing_else(broker: Broker, source: Source, tmp_path: Path) -> None:
    source.write("dos.txt", "a\r\n")
    source.write(".gitattributes", "secret.txt export-ignore\n")
    source.write("secret.txt")
    commit = source.commit()
    mirror = await broker.mirror(source.url)
    refs = await mirror.repository.refs()
    file, again = tmp_path / "incident" / "base.bundle", tmp_path / "again.bundle"
    await mirror.bundle(commit, file)
    await mirror.bundle(commit, again)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(file), str(clone)], check=True, timeout=60)

    def ask(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=clone, check=True, capture_output=True, text=True, timeout=60
        ).stdout.strip()

    assert ask("rev-parse", "HEAD^{tree}") == await mirror.tree(commit)
    assert ask("rev-list", "--count", "--all") == "1"
    assert ask("status", "--porcelain") == ""
    assert (clone / "secret.txt").exists()
    assert not (clone / ".git/objects/info/alternates").exists()
    assert list(file.parent.iterdir()) == [file]
    assert await mirror.repository.refs() == refs
    subprocess.run(["git", "clone", "--quiet", str(again), str(tmp_path / "clone2")], check=True, timeout=60)
    assert (
        ask("rev-parse", "HEAD")
        == subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=tmp_path / "clone2", check=True, capture_output=True, text=True
        ).stdout.strip()
    )
