"""GitHub keeps one open pull request per head and base, whatever its answers are like."""

from __future__ import annotations

from typing import Any

import pytest

from libs.forge.error import (
    ForgeRefusedError,
    ForgeUnavailableError,
    HeadMovedError,
    PullRequestExistsError,
    UnknownBaseError,
)
from libs.forge.github.text import MAX_BODY
from libs.forge.port import PullRequest
from libs.testing.forgecase import BASE, HEAD, TEXT, ForgeCase, opened
from tests.integration.forge.exchange import Answer
from tests.integration.forge.githubsite import WHERE, GitHubSite
from tests.integration.forge.shapes import shaped

SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
HTML = Answer(200, raw=b"<html>Unicorn!</html>", headers={"Content-Type": "text/html"})


class TestGitHubForge(ForgeCase):
    """The behaviour of every forge."""

    @pytest.fixture
    def site(self, hub: GitHubSite) -> GitHubSite:
        """Returns the repository at GitHub."""
        return hub


def limit(status: int, message: str = "", **headers: str) -> Answer:
    return Answer(
        status, {"message": message}, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


#: What may go wrong with the request that opens: name → fault, and what `open` makes of it.
OPENING: dict[str, tuple[dict[str, Any], type[Exception] | None]] = {
    "502 before the effect": ({"answer": Answer(502)}, ForgeUnavailableError),
    "500 after the effect": ({"answer": Answer(500), "effect": True}, None),
    "an HTML page of an error after the effect": (
        {"answer": Answer(503, raw=b"<html>", headers={"Content-Type": "text/html"}), "effect": True},
        None,
    ),
    "no answer after the effect": ({"way": "hang", "effect": True}, None),
    "no answer and no effect": ({"way": "hang"}, ForgeUnavailableError),
    "a reset before the effect": ({"way": "drop"}, ForgeUnavailableError),
    "a reset after the effect": ({"way": "drop", "effect": True}, None),
    "half an answer": ({"way": "cut"}, None),
    "an answer that is no JSON, after the effect": ({"answer": Answer(201, raw=b"{"), "effect": True}, None),
    "an HTML page instead of an answer, after the effect": ({"answer": HTML, "effect": True}, None),
    "an answer of another shape, after the effect": ({"answer": Answer(201, []), "effect": True}, None),
    "the primary limit": (
        {
            "answer": limit(
                403, "API rate limit exceeded", x_ratelimit_remaining="0", x_ratelimit_reset="9" * 10
            )
        },
        ForgeUnavailableError,
    ),
    "a secondary limit with a time": (
        {"answer": limit(429, SECONDARY, retry_after="70")},
        ForgeUnavailableError,
    ),
    "a secondary limit without a time": ({"answer": limit(403, SECONDARY)}, ForgeUnavailableError),
    "a redirect": ({"answer": Answer(307, headers={"Location": "http://127.0.0.1:9/"})}, ForgeRefusedError),
    "a missing right": ({"answer": limit(403, "Resource not accessible by integration")}, ForgeRefusedError),
    "an unknown repository": ({"answer": limit(404, "Not Found")}, ForgeRefusedError),
}


async def open_it(site: GitHubSite, forge: Any = None, **given: Any) -> PullRequest:
    return await (forge or site.forge).open(
        site.url, **{"head": HEAD, "base": BASE, "head_commit": site.work, **TEXT, **given}
    )


@pytest.mark.parametrize("name", OPENING)
async def test_whatever_becomes_of_the_opening_there_is_one_pull_request_in_the_end(
    hub: GitHubSite, name: str
) -> None:
    values, wanted = OPENING[name]
    await hub.push(hub.work)
    hub.server.fail("POST", "/pulls$", **values)
    forge = hub.reach(timeout_s=2.0 if values.get("way") == "hang" else 20.0).forge
    if wanted is None:
        made = await open_it(hub, forge)
        assert (made.head_commit, made.tree) == (hub.work, await hub.mirror.tree(hub.work))
    else:
        with pytest.raises(wanted):
            await open_it(hub, forge)
        assert len(hub.server.open_pulls) == 0
    hub.clock.slept.append(4_000.0)
    found = await hub.forge.find(hub.url, HEAD, BASE) or await open_it(hub)
    assert [pull["number"] for pull in hub.server.pulls.values()] == [found.number]
    assert found.state == "open"


async def test_what_somebody_else_opened_while_our_answer_was_lost_is_not_taken_for_ours(
    hub: GitHubSite,
) -> None:
    await hub.push(hub.work)
    first = await open_it(hub, title="theirs", body="theirs")
    hub.server.fail("POST", "/pulls$", way="drop")
    with pytest.raises(PullRequestExistsError) as caught:
        await open_it(hub)
    assert caught.value.number == first.number


async def test_a_pull_request_of_a_fork_with_the_same_branch_name_is_not_ours(hub: GitHubSite) -> None:
    made = await opened(hub)
    hub.server.pulls[made.number]["fork"] = "team/fork"
    assert await hub.forge.find(hub.url, HEAD, BASE) is None


async def test_it_is_found_behind_many_pages(hub: GitHubSite) -> None:
    made = await opened(hub)
    hub.server.page_size = 1
    for number in range(10, 15):
        hub.server.pulls[number] = {
            **hub.server.pulls[made.number],
            "number": number,
            "fork": "team/fork",
        }
    assert await hub.forge.find(hub.url, HEAD, BASE) == made
    assert len(hub.server.sent("GET", "/pulls$")) == 6


async def test_the_token_does_not_follow_a_link_to_another_host(hub: GitHubSite) -> None:
    link = {"Link": '<http://127.0.0.1:9/api/v3/repos/team/wide/pulls?page=2>; rel="next"'}
    hub.server.fail("GET", "/pulls$", Answer(200, [], headers=link))
    with pytest.raises(ForgeUnavailableError, match="another host"):
        await hub.forge.find(hub.url, HEAD, BASE)


async def test_a_branch_that_moves_while_we_open_is_noticed(hub: GitHubSite) -> None:
    await hub.push(hub.work)
    theirs = await hub.change("theirs\n", base=hub.work)
    target = {"sha": hub.work, "type": "commit", "url": "x"}
    await hub.push(theirs)
    hub.server.fail(
        "GET", "/git/ref/", Answer(200, shaped("GitRef", ref=f"refs/heads/{HEAD}", object=target))
    )
    with pytest.raises(HeadMovedError) as caught:
        await open_it(hub)
    assert caught.value.actual == theirs


async def test_a_pull_request_that_lags_behind_its_branch_is_described_as_the_branch_is(
    hub: GitHubSite,
) -> None:
    made = await opened(hub)
    better = await hub.change("three\n", base=hub.work)
    old = await hub.server.shown(WHERE, hub.server.pulls[made.number], "PullRequest")
    await hub.push(better)
    hub.server.fail("GET", f"/pulls/{made.number}$", Answer(200, old))
    updated = await hub.forge.update(hub.url, made.number, head_commit=better)
    assert (updated.head_commit, updated.tree) == (better, await hub.mirror.tree(better))


async def test_reading_is_tried_again_after_what_may_pass_and_not_for_ever(hub: GitHubSite) -> None:
    made = await opened(hub)
    path = f"/pulls/{made.number}$"
    hub.server.fail("GET", path, Answer(502))
    hub.server.fail("GET", path, way="drop")
    assert await hub.forge.get(hub.url, made.number) == made
    assert hub.clock.slept[-2:] == [0.5, 1.0]
    hub.server.fail("GET", path, Answer(500), times=3)
    with pytest.raises(ForgeUnavailableError) as caught:
        await hub.forge.get(hub.url, made.number)
    assert caught.value.transient


async def test_while_a_limit_lasts_nothing_is_sent_and_nobody_waits(hub: GitHubSite) -> None:
    made = await opened(hub)
    reset = str(int(hub.clock.now()) + 900)
    hub.server.fail(
        "GET", "/pulls/", limit(403, "API rate limit", x_ratelimit_remaining="0", x_ratelimit_reset=reset)
    )
    for _ in range(3):
        with pytest.raises(ForgeUnavailableError) as caught:
            await hub.forge.get(hub.url, made.number)
        assert 890 < caught.value.retry_after_s <= 900
        assert caught.value.transient
    assert len(hub.server.sent("GET", f"/pulls/{made.number}$")) == 1
    hub.clock.slept.append(901)
    assert await hub.forge.get(hub.url, made.number) == made


async def test_changes_are_sent_one_by_one_with_a_pause_between(hub: GitHubSite) -> None:
    made = await opened(hub)
    await hub.forge.update(hub.url, made.number, title="another")
    assert 0.0 < hub.clock.slept[-1] <= 1.0


async def test_a_base_that_is_the_default_branch_or_a_full_name_is_understood(hub: GitHubSite) -> None:
    await hub.push(hub.work)
    made = await open_it(hub, base="HEAD")
    assert made.base == "main"
    assert await hub.forge.find(hub.url, HEAD, "refs/heads/main") == made
    with pytest.raises(UnknownBaseError):
        await open_it(hub, base=hub.base_commit)


async def test_a_text_that_is_too_long_for_github_is_cut(hub: GitHubSite) -> None:
    await hub.push(hub.work)
    made = await open_it(hub, body="x" * 2 * MAX_BODY + "\n\nAutopilot-Task: t-1\n", title="t" * 1_000)
    assert made.body.endswith("\n\nAutopilot-Task: t-1\n")
    assert await hub.forge.get(hub.url, made.number) == made


async def test_a_merged_one_is_merged_and_stays_so(hub: GitHubSite) -> None:
    made = await opened(hub)
    hub.server.pulls[made.number] |= {"state": "closed", "merged_at": "2026-01-01T00:00:00Z"}
    assert (await hub.forge.close(hub.url, made.number)).state == "merged"
    assert hub.server.sent("PATCH", "/pulls/") == []


async def test_credentials_of_the_address_are_neither_kept_nor_sent(hub: GitHubSite) -> None:
    await hub.push(hub.work)
    url = hub.url.replace("http://", "http://user:hunter2@")
    made = await hub.forge.open(url, head=HEAD, base=BASE, head_commit=hub.work, **TEXT)
    assert "hunter2" not in repr(made)
    assert await hub.forge.remote(url) == hub.url
    assert not any("hunter2" in repr(request) for request in hub.server.requests)
