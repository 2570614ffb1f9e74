"""The local forge keeps one open pull request per head and base, and git alone can read it."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.forge.error import (
    ForgeUnavailableError,
    HeadMovedError,
    PullRequestClosedError,
    PullRequestExistsError,
    UnknownBaseError,
    UnknownPullRequestError,
)
from libs.forge.layout import open_ref
from libs.forge.local import LocalForge
from libs.forge.port import Forge, PullRequest
from libs.git.broker import Broker
from libs.testing.forgecase import BASE, HEAD, TEXT, ForgeCase, opened

if TYPE_CHECKING:
    from tests.integration.forge.conftest import Site


class TestLocalForge(ForgeCase):
    """The behaviour of every forge."""


async def test_an_opened_pull_request_is_readable_by_git_alone(site: Site) -> None:
    forge: Forge = site.forge
    made = await opened(site)
    assert (made.number, made.state, made.draft) == (1, "open", False)
    assert made.tree == await site.mirror.tree(site.work)
    assert made == await forge.find(site.url, HEAD, BASE) == await forge.get(site.url, 1)
    assert (made,) == await forge.list(site.url)

    assert await site.git("rev-parse", "refs/pull/1/head") == site.work
    assert await site.git("show", "refs/pull/1/meta:title") == "Return two"
    assert await site.git("show", "refs/pull/1/meta:body.md") == "Why:\n\nbecause ü."
    assert await site.git("show", "refs/pull/1/meta:state") == "open"
    assert await site.git("show", "refs/pull/1/meta:evidence") == "evidence/ab/1\nevidence/cd/2"
    assert json.loads(await site.git("show", "refs/pull/1/meta:pr.json"))["head_commit"] == site.work
    assert "-one" in await site.git("diff", "refs/pull/1/base", "refs/pull/1/head")
    assert made.url.startswith("file:///")
    assert made.url.endswith("#refs/pull/1/head")


async def test_updates_keep_the_history_and_change_nothing_twice(site: Site) -> None:
    await opened(site)
    better = await site.change("three\n", base=site.work)
    await site.push(better)
    updated = await site.forge.update(
        site.url, 1, head_commit=better, title="Return\nthree", draft=True, evidence=("evidence/ef/3",)
    )
    assert (updated.head_commit, updated.title, updated.draft) == (better, "Return three", True)
    assert updated.tree == await site.mirror.tree(better)
    assert updated.body == TEXT["body"]
    assert await site.git("rev-parse", "refs/pull/1/head") == better
    assert await site.git("show", "refs/pull/1/meta:state") == "open (draft)"
    assert await site.git("show", "refs/pull/1/meta~1:title") == "Return two"
    assert await site.forge.update(site.url, 1, head_commit=better, title="Return three") == updated
    assert await site.git("rev-list", "--count", "refs/pull/1/meta") == "2"
    assert await site.forge.find(site.url, HEAD, BASE) == updated


@pytest.mark.parametrize("merged", [False, True])
async def test_a_closed_one_makes_room_for_another(site: Site, merged: bool) -> None:
    await opened(site)
    closed = await site.forge.close(site.url, 1, merged=merged)
    assert closed.state == ("merged" if merged else "closed")
    assert await site.forge.close(site.url, 1) == closed == await site.forge.get(site.url, 1)
    assert await site.forge.find(site.url, HEAD, BASE) is None
    with pytest.raises(PullRequestClosedError, match=closed.state):
        await site.forge.update(site.url, 1, title="x")
    assert (await opened(site)).number == 2


async def test_an_opening_that_is_refused_leaves_no_trace(site: Site) -> None:
    await site.push(site.base_commit)
    with pytest.raises(HeadMovedError):
        await site.forge.open(site.url, head=HEAD, base=BASE, head_commit=site.work, **TEXT)
    assert await site.forge.list(site.url) == ()
    assert await site.git("for-each-ref", "refs/pull", "refs/autopilot") == ""


async def test_an_unknown_base_is_refused(site: Site) -> None:
    await site.push(site.work)
    stranger = await site.change("stranger\n")
    for base_commit, words in (
        ("1234567890" * 4, "does not have its commit"),
        ("main", "does not have its commit"),
        (None, "no branch of this name"),
        (stranger, "does not have its commit"),
    ):
        with pytest.raises(UnknownBaseError, match=words) as caught:
            await site.forge.open(
                site.url, head=HEAD, base="nowhere", head_commit=site.work, base_commit=base_commit, **TEXT
            )
        assert caught.value.base == "nowhere"
    await site.push(stranger, "autopilot/other")
    with pytest.raises(UnknownBaseError, match="not in the history"):
        await site.forge.open(
            site.url, head=HEAD, base=BASE, head_commit=site.work, base_commit=stranger, **TEXT
        )
    stacked = await site.forge.open(
        site.url, head=HEAD, base="autopilot/other", head_commit=site.work, **TEXT
    )
    assert stacked.base_commit == stranger


async def test_what_is_not_there_is_said_without_making_anything(site: Site) -> None:
    assert await site.forge.find(site.url, HEAD, BASE) is None
    assert await site.forge.branch_head(site.url, HEAD) is None
    assert await site.forge.list(site.url) == ()
    for call in (
        site.forge.get(site.url, 1),
        site.forge.update(site.url, 1, title="x"),
        site.forge.close(site.url, 1),
    ):
        with pytest.raises(UnknownPullRequestError):
            await call
    assert not (site.data_dir / "forge").exists()
    with pytest.raises(ForgeUnavailableError):
        await site.forge.remote("ext::sh")


async def test_odd_texts_are_kept_as_far_as_utf8_goes(site: Site) -> None:
    await site.push(site.work)
    body = "caf\udce9 \0 \u202e <!-- x -->"
    made = await site.forge.open(
        site.url,
        head=HEAD,
        base=BASE,
        head_commit=site.work,
        base_commit=site.base_commit,
        title="a\n\tb",
        body=body,
        evidence=("caf\udce9",),
    )
    assert made.title == "a b"
    assert made.body == body.replace("\udce9", "\ufffd")
    assert await site.forge.get(site.url, 1) == made


async def test_credentials_of_the_address_are_not_kept(site: Site) -> None:
    url = "https://user:hunter2@example.org/team/repo.git"
    target = await site.forge.remote(url)
    await site.mirror.push(target, site.work, f"refs/heads/{HEAD}", expected=None)
    made = await site.forge.open(
        url, head=HEAD, base=BASE, head_commit=site.work, base_commit=site.base_commit, **TEXT
    )
    assert made.repo == "https://***@example.org/team/repo.git"
    assert await site.forge.find("https://example.org/team/repo.git", HEAD, BASE) == made


async def test_every_crash_in_the_middle_of_opening_leaves_nothing_or_a_pull_request_to_adopt(
    site: Site,
) -> None:
    """Git moves the refs of one transaction one by one: each subset of them is what a crash may leave."""
    await opened(site)
    listing = await site.git(
        "for-each-ref", "--format=%(refname) %(objectname)", "refs/pull", "refs/autopilot"
    )
    whole = {line.split(" ")[0]: line.split(" ")[1] for line in listing.split("\n")}
    folder = Path(await site.forge.remote(site.url))
    assert len(whole) == 4
    for size in range(5):
        for left in itertools.combinations(sorted(whole), size):
            restart(folder, {ref: whole[ref] for ref in left})
            found = await site.forge.find(site.url, HEAD, BASE)
            if open_ref(HEAD, BASE) in left:
                assert found is not None
                assert found.number == 1
                assert await site.forge.update(site.url, 1, draft=True)
            try:
                number = (await opened(site)).number
                assert "refs/pull/1/meta" not in left
                assert open_ref(HEAD, BASE) not in left
            except PullRequestExistsError as error:
                number = error.number
            found = await site.forge.find(site.url, HEAD, BASE)
            assert found is not None
            assert found.number == number
            assert [item.state for item in await site.forge.list(site.url)] == ["open"]
            assert await site.git("rev-parse", f"refs/pull/{number}/head") == site.work
            assert await site.git("rev-parse", f"refs/pull/{number}/base") == site.base_commit


async def test_a_crash_while_updating_or_closing_is_completed_by_the_next_change(site: Site) -> None:
    await opened(site)
    folder = Path(await site.forge.remote(site.url))
    better = await site.change("three\n", base=site.work)
    await site.push(better)
    await site.forge.update(site.url, 1, head_commit=better)
    git_in(folder, "update-ref", "refs/pull/1/head", site.work)
    assert (await site.forge.get(site.url, 1)).head_commit == better
    await site.forge.update(site.url, 1, title="x")
    assert await site.git("rev-parse", "refs/pull/1/head") == better

    held = await site.git("rev-parse", open_ref(HEAD, BASE))
    await site.forge.close(site.url, 1)
    git_in(folder, "update-ref", open_ref(HEAD, BASE), held)
    assert await site.forge.find(site.url, HEAD, BASE) is None
    await site.push(site.work)
    assert (await opened(site)).number == 2


async def test_lock_files_of_a_killed_git_do_not_block_the_forge(site: Site) -> None:
    await site.push(site.work)
    folder = Path(await site.forge.remote(site.url))
    for name in (
        "packed-refs.lock",
        f"refs/heads/{HEAD}.lock",
        "refs/pull/1/meta.lock",
        f"{open_ref(HEAD, BASE)}.lock",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert (await opened(site)).number == 1
    for name in ("packed-refs.lock", "refs/pull/1/meta.lock"):
        (folder / name).touch()
    assert (await site.forge.close(site.url, 1)).state == "closed"


_PROCESS = """
import asyncio, sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from libs.forge.error import PullRequestExistsError
from libs.forge.local import LocalForge

async def main(data, url, head_commit, base_commit):
    forge = LocalForge(Path(data))

    async def once(head):
        try:
            made = await forge.open(
                url, head=head, base="main", title="t", body="b",
                head_commit=head_commit, base_commit=base_commit,
            )
            return f"{head} opened {made.number}"
        except PullRequestExistsError as error:
            return f"{head} exists {error.number}"

    heads = [f"autopilot/t-{number}" for number in (1, 2, 3)] * 2
    print("\\n".join(await asyncio.gather(*(once(head) for head in heads))))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_open_exactly_one_pull_request_each(site: Site) -> None:
    for number in (1, 2, 3):
        await site.push(site.work, f"autopilot/t-{number}")
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", _PROCESS, str(site.data_dir), site.url, site.work, site.base_commit),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said: list[str] = []
    async with asyncio.timeout(60):
        for process in processes:
            out, words = await process.communicate()
            assert process.returncode == 0, words.decode()
            said += [line for line in out.decode().splitlines() if line.startswith("autopilot/")]
    listed = {item.head: item.number for item in await site.forge.list(site.url)}
    assert sorted(listed.values()) == [1, 2, 3]
    for head, number in listed.items():
        mine = sorted(line for line in said if line.startswith(f"{head} "))
        assert mine == [f"{head} exists {number}"] * 3 + [f"{head} opened {number}"]


async def test_without_our_lock_git_itself_still_lets_only_one_open(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock keeps order; what decides is the transaction."""

    @asynccontextmanager
    async def unlocked(_: object) -> AsyncIterator[None]:
        yield None

    await site.push(site.work)
    monkeypatch.setattr("libs.git.repository.Repository.locked", unlocked)
    outcomes = await asyncio.gather(
        *(
            LocalForge(site.data_dir).open(
                site.url, head=HEAD, base=BASE, head_commit=site.work, base_commit=site.base_commit, **TEXT
            )
            for _ in range(6)
        ),
        return_exceptions=True,
    )
    winners = [outcome for outcome in outcomes if isinstance(outcome, PullRequest)]
    assert len(winners) == 1
    assert len([item for item in await site.forge.list(site.url) if item.state == "open"]) == 1


async def test_a_sha256_or_shallow_repository_gets_its_pull_request_too(tmp_path: Path) -> None:
    for name, options in (("modern", ["--object-format=sha256"]), ("full", [])):
        folder = tmp_path / name
        folder.mkdir()
        git_in(folder, "init", "--quiet", "--initial-branch=main", *options)
        for text in ("one\n", "two\n"):
            (folder / "app.py").write_text(text)
            git_in(folder, "add", ".")
            git_in(folder, "commit", "--quiet", "-m", text)
    git_in(tmp_path, "clone", "--quiet", "--depth=1", f"file://{tmp_path}/full", str(tmp_path / "shallow"))
    for name in ("modern", "shallow"):
        url = str(tmp_path / name)
        mirror = await Broker(tmp_path / "data").mirror(url)
        commit = await mirror.resolve("main")
        forge = LocalForge(tmp_path / "data")
        await mirror.push(await forge.remote(url), commit, f"refs/heads/{HEAD}", expected=None)
        made = await forge.open(url, head=HEAD, base=BASE, head_commit=commit, base_commit=commit, **TEXT)
        assert made.tree == await mirror.tree(commit)


def restart(folder: Path, refs: dict[str, str]) -> None:
    """Sets the forge's refs back to what a crash would have left."""
    for line in git_in(folder, "for-each-ref", "--format=%(refname)", "refs/pull", "refs/autopilot").split(
        "\n"
    ):
        if line:
            git_in(folder, "update-ref", "-d", line)
    for ref, commit in refs.items():
        git_in(folder, "update-ref", ref, commit)


def git_in(folder: Path, *args: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=U", "-c", "user.email=u@example.org", *args],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.rstrip("\n")
