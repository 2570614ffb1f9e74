"""Git reaches GitHub by token: for that host alone, and without the token in anything that is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.git.broker import Broker
from libs.git.error import CloneError, PushError
from tests.integration.forge.exchange import Answer
from tests.integration.forge.githubserver import TOKEN, GitHubServer
from tests.integration.forge.githubsite import WHERE, GitHubSite


async def test_a_private_repository_is_cloned_by_token_only(hub: GitHubSite) -> None:
    with pytest.raises(CloneError, match="needs credentials"):
        await Broker(hub.root / "without").mirror(hub.url)
    hub.server.tokens.clear()
    with pytest.raises(CloneError, match="Authentication failed"):
        await Broker(hub.root / "revoked", credentials=hub.access).mirror(hub.url)


async def test_nothing_that_git_wrote_holds_the_token(hub: GitHubSite) -> None:
    await hub.push(hub.work)
    files = [path for path in hub.data_dir.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


async def test_a_push_that_the_token_may_not_make_is_refused_for_good(hub: GitHubSite) -> None:
    hub.server.protected = True
    with pytest.raises(PushError, match="403") as caught:
        await hub.push(hub.work)
    assert not caught.value.transient


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_push_that_github_cannot_take_now_may_be_tried_again(hub: GitHubSite, status: int) -> None:
    hub.server.fail("GET", "info/refs", Answer(status))
    with pytest.raises(PushError) as caught:
        await hub.push(hub.work)
    assert caught.value.transient
    await hub.push(hub.work)


async def test_a_push_whose_answer_is_lost_is_known_to_have_arrived(hub: GitHubSite) -> None:
    hub.server.fail("POST", "git-receive-pack", way="drop", effect=True)
    with pytest.raises(PushError) as caught:
        await hub.push(hub.work)
    assert caught.value.transient
    assert await hub.forge.branch_head(hub.url, "autopilot/t-1") == hub.work
    await hub.push(hub.work)


async def test_an_address_by_ssh_is_reached_by_https_with_the_token(hub: GitHubSite) -> None:
    for url in ("git@127.0.0.1:team/wide.git", "ssh://git@127.0.0.1/team/wide.git"):
        mirror = await Broker(hub.root / "ssh", credentials=hub.access).mirror(url)
        assert await mirror.resolve("main") == hub.base_commit
        assert await hub.forge.remote(url) == hub.url


async def test_another_host_is_never_told_the_token(hub: GitHubSite, tmp_path: Path) -> None:
    other = GitHubServer(tmp_path / "hub")
    await other.start()
    try:
        with pytest.raises(CloneError):
            await Broker(hub.root / "other", credentials=hub.access).mirror(f"{other.url}/{WHERE}.git")
        away = Answer(302, headers={"Location": f"{other.url}/{WHERE}.git/info/refs?service=git-upload-pack"})
        hub.server.fail("GET", "info/refs", away, times=9)
        with pytest.raises(CloneError, match="moved"):
            await Broker(hub.root / "other", credentials=hub.access).mirror(hub.url)
        assert not any("authorization" in request.headers for request in other.requests)
    finally:
        await other.stop()
