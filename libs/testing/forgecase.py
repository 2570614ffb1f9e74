"""What every forge does, as one case that each adapter's tests inherit; they give the fixture `site`."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypedDict

import pytest

from libs.forge.error import (
    HeadMovedError,
    PullRequestClosedError,
    PullRequestExistsError,
    UnknownBaseError,
    UnknownPullRequestError,
)
from libs.forge.port import Forge, PullRequest
from libs.git.mirror import Mirror

HEAD, BASE = "autopilot/t-1", "main"


class Text(TypedDict):
    """What a pull request says."""

    title: str
    body: str
    evidence: tuple[str, ...]


TEXT: Text = {
    "title": "Return two",
    "body": "Why:\n\nbecause ü.\n",
    "evidence": ("evidence/ab/1", "evidence/cd/2"),
}


class Site(Protocol):
    """Is a repository whose base branch the forge has, its mirror with a finished commit, and the forge."""

    @property
    def forge(self) -> Forge:
        """Returns the forge under test."""

    #: The repository's address; its mirror; the base branch's commit; a commit on top of it.
    url: str
    mirror: Mirror
    base_commit: str
    work: str

    async def push(self, commit: str, head: str = HEAD) -> None:
        """Pushes a commit to a branch at the forge, as the `pr` stage does."""

    async def change(self, text: str, base: str | None = None) -> str:
        """Makes a further commit in the mirror."""


async def opened(site: Site, base: str = BASE) -> PullRequest:
    """Pushes the finished commit and opens its pull request."""
    await site.push(site.work)
    return await site.forge.open(
        site.url, head=HEAD, base=base, head_commit=site.work, base_commit=site.base_commit, **TEXT
    )


class ForgeCase:
    """Holds a forge to its port."""

    async def test_an_opened_pull_request_is_found_again_by_branches_and_by_number(self, site: Site) -> None:
        made = await opened(site)
        assert (made.state, made.draft, made.head, made.base) == ("open", False, HEAD, BASE)
        assert (made.title, made.body, made.evidence) == (TEXT["title"], TEXT["body"], TEXT["evidence"])
        assert (made.head_commit, made.base_commit) == (site.work, site.base_commit)
        assert made.tree == await site.mirror.tree(site.work)
        assert made == await site.forge.find(site.url, HEAD, BASE)
        assert made == await site.forge.get(site.url, made.number)
        assert await site.forge.branch_head(site.url, HEAD) == site.work

    async def test_its_commit_can_be_fetched_from_the_forge(self, site: Site) -> None:
        made = await opened(site)
        source = await site.forge.remote(site.url)
        assert await site.mirror.fetch_commit(source, f"refs/pull/{made.number}/head") == site.work
        assert await site.mirror.fetch_commit(source, f"refs/heads/{HEAD}") == site.work

    async def test_a_second_one_for_the_same_head_and_base_is_refused(self, site: Site) -> None:
        first = await opened(site)
        with pytest.raises(PullRequestExistsError) as caught:
            await opened(site)
        assert caught.value.number == first.number
        await site.push(site.base_commit, "release")
        other = await opened(site, "release")
        assert other.number != first.number
        assert await site.forge.find(site.url, HEAD, BASE) == first

    async def test_of_many_at_once_exactly_one_opens(self, site: Site) -> None:
        await site.push(site.work)
        outcomes = await asyncio.gather(*(opened(site) for _ in range(5)), return_exceptions=True)
        winners = [outcome for outcome in outcomes if isinstance(outcome, PullRequest)]
        assert len(winners) == 1
        losers = [outcome for outcome in outcomes if isinstance(outcome, PullRequestExistsError)]
        assert {loser.number for loser in losers} == {winners[0].number}
        assert len(losers) == 4

    async def test_an_update_changes_what_is_given_and_a_repeated_one_nothing(self, site: Site) -> None:
        made = await opened(site)
        better = await site.change("three\n", base=site.work)
        await site.push(better)
        updated = await site.forge.update(
            site.url,
            made.number,
            head_commit=better,
            title="Return\nthree",
            draft=True,
            evidence=("evidence/ef/3",),
        )
        assert (updated.head_commit, updated.title, updated.draft) == (better, "Return three", True)
        assert updated.tree == await site.mirror.tree(better)
        assert (updated.body, updated.evidence) == (TEXT["body"], ("evidence/ef/3",))
        again = await site.forge.update(site.url, made.number, head_commit=better, title="Return three")
        assert again == updated == await site.forge.find(site.url, HEAD, BASE)
        ready = await site.forge.update(site.url, made.number, draft=False, body="new")
        assert (ready.draft, ready.body, ready.evidence) == (False, "new", ("evidence/ef/3",))

    async def test_a_draft_is_opened_as_one(self, site: Site) -> None:
        await site.push(site.work)
        made = await site.forge.open(
            site.url,
            head=HEAD,
            base=BASE,
            head_commit=site.work,
            draft=True,
            **TEXT,
            base_commit=site.base_commit,
        )
        assert made.draft
        assert (await site.forge.get(site.url, made.number)).draft

    async def test_a_closed_one_makes_room_for_another(self, site: Site) -> None:
        made = await opened(site)
        closed = await site.forge.close(site.url, made.number)
        assert closed.state == "closed"
        assert await site.forge.close(site.url, made.number) == closed
        assert await site.forge.get(site.url, made.number) == closed
        assert await site.forge.find(site.url, HEAD, BASE) is None
        with pytest.raises(PullRequestClosedError, match="closed"):
            await site.forge.update(site.url, made.number, title="x")
        assert (await opened(site)).number != made.number

    async def test_the_head_must_have_been_pushed(self, site: Site) -> None:
        async def open_it() -> PullRequest:
            return await site.forge.open(
                site.url, head=HEAD, base=BASE, head_commit=site.work, base_commit=site.base_commit, **TEXT
            )

        with pytest.raises(HeadMovedError) as caught:
            await open_it()
        assert caught.value.actual is None
        await site.push(site.base_commit)
        with pytest.raises(HeadMovedError) as caught:
            await open_it()
        assert caught.value.actual == site.base_commit
        assert await site.forge.find(site.url, HEAD, BASE) is None
        made = await opened(site)
        with pytest.raises(HeadMovedError):
            await site.forge.update(site.url, made.number, head_commit=site.base_commit)

    async def test_a_base_that_the_forge_does_not_have_is_refused(self, site: Site) -> None:
        await site.push(site.work)
        with pytest.raises(UnknownBaseError) as caught:
            await site.forge.open(site.url, head=HEAD, base="nowhere", head_commit=site.work, **TEXT)
        assert caught.value.base == "nowhere"

    async def test_one_may_be_stacked_on_the_branch_of_another(self, site: Site) -> None:
        await opened(site)
        further = await site.change("three\n", base=site.work)
        await site.push(further, "autopilot/t-2")
        stacked = await site.forge.open(
            site.url, head="autopilot/t-2", base=HEAD, head_commit=further, **TEXT
        )
        assert (stacked.base, stacked.base_commit) == (HEAD, site.work)
        assert await site.forge.find(site.url, "autopilot/t-2", HEAD) == stacked

    async def test_what_is_not_there_is_said(self, site: Site) -> None:
        assert await site.forge.find(site.url, HEAD, BASE) is None
        assert await site.forge.branch_head(site.url, HEAD) is None
        for call in (
            site.forge.get(site.url, 1),
            site.forge.update(site.url, 1, title="x"),
            site.forge.close(site.url, 1),
        ):
            with pytest.raises(UnknownPullRequestError):
                await call

    async def test_a_prefix_of_a_branchs_name_is_no_branch(self, site: Site) -> None:
        await site.push(site.work)
        assert await site.forge.branch_head(site.url, HEAD[:-1]) is None
        assert await site.forge.branch_head(site.url, "autopilot") is None
