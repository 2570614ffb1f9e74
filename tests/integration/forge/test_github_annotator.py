"""Labels and checks are put once; comments are read as a person sees them; an app's tokens are narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libs.forge.error import ForgeRefusedError, ForgeUnavailableError
from libs.forge.port import Check
from libs.git.broker import Broker
from libs.git.error import CloneError
from libs.testing.forgecase import opened
from tests.integration.forge.exchange import Answer
from tests.integration.forge.githubsite import GitHubSite
from tests.integration.forge.shapes import shaped


def verdict(commit: str, **given: Any) -> Check:
    return Check(
        **{
            "key": "t1-pr-1",
            "commit": commit,
            "conclusion": "success",
            "title": "all",
            "summary": "|",
            **given,
        }
    )


async def test_a_label_is_made_once_and_put_once(hub: GitHubSite) -> None:
    made = await opened(hub)
    annotator = hub.forge.annotator(hub.url)
    assert await annotator.label(hub.url, made.number, "autopilot")
    assert not await annotator.label(hub.url, made.number, "autopilot")
    assert hub.server.pulls[made.number]["labels"] == ["autopilot"]
    assert len(hub.server.sent("POST", "/labels$")) == 2


async def test_a_label_that_somebody_makes_at_the_same_time_is_used(hub: GitHubSite) -> None:
    made = await opened(hub)
    hub.server.labels.add("autopilot")
    hub.server.fail("GET", "/labels/autopilot", Answer(404, {"message": "Not Found"}))
    assert await hub.forge.annotator(hub.url).label(hub.url, made.number, "autopilot")


async def test_with_a_persons_token_the_check_is_a_status_put_once(hub: GitHubSite) -> None:
    annotator = hub.forge.annotator(hub.url)
    first, made = await annotator.check(hub.url, verdict(hub.base_commit))
    assert made
    assert await annotator.check(hub.url, verdict(hub.base_commit)) == (first, False)
    await annotator.check(hub.url, verdict(hub.base_commit, conclusion="neutral", title="x" * 300))
    assert [one["state"] for one in hub.server.statuses] == ["success", "pending"]


async def test_as_an_app_the_check_is_a_run_put_once_and_every_token_reaches_one_repository(
    hub: GitHubSite, app: dict[str, str]
) -> None:
    access = hub.reach(**app)
    annotator = access.forge.annotator(hub.url)
    hub.server.fail("POST", "/check-runs", Answer(502), effect=True)
    with pytest.raises(ForgeUnavailableError):
        await annotator.check(hub.url, verdict(hub.base_commit))
    assert not (await annotator.check(hub.url, verdict(hub.base_commit)))[1]
    assert (await annotator.check(hub.url, verdict(hub.base_commit, key="t1-pr-2")))[1]
    assert [(run["external_id"], run["conclusion"]) for run in hub.server.check_runs] == [
        ("t1-pr-1", "success"),
        ("t1-pr-2", "success"),
    ]
    asked = hub.server.sent("POST", "/access_tokens")
    assert [request.json for request in asked] == [{"repositories": ["wide"]}]
    mirror = await Broker(hub.root / "other", credentials=access).mirror(hub.url)
    assert await mirror.resolve("main") == hub.base_commit


async def test_a_token_of_an_app_that_was_revoked_is_replaced_once(
    hub: GitHubSite, app: dict[str, str]
) -> None:
    forge = hub.reach(**app).forge
    assert await forge.branch_head(hub.url, "main") == hub.base_commit
    hub.server.tokens.clear()
    assert await forge.branch_head(hub.url, "main") == hub.base_commit
    hub.server.fail("GET", "/git/ref/", Answer(401, {"message": "Bad credentials"}), times=5)
    with pytest.raises(ForgeRefusedError, match="401"):
        await forge.branch_head(hub.url, "main")
    assert len(hub.server.sent("POST", "/access_tokens")) == 3


async def test_an_app_that_is_not_installed_or_has_a_bad_key_is_refused_in_words(
    hub: GitHubSite, app: dict[str, str], tmp_path: Path
) -> None:
    hub.server.fail("GET", "/installation", Answer(404, {"message": "Not Found"}))
    with pytest.raises(ForgeRefusedError, match="not installed on team/wide"):
        await hub.reach(**app).forge.branch_head(hub.url, "main")
    (tmp_path / "bad").write_text("-----BEGIN RSA PRIVATE KEY-----\ncanary\n")
    bad = hub.reach(**{**app, "app_key_file": str(tmp_path / "bad")})
    with pytest.raises(ForgeRefusedError, match="key cannot be used") as caught:
        await bad.forge.branch_head(hub.url, "main")
    assert "canary" not in str(caught.value)
    with pytest.raises(CloneError, match="key cannot be used"):
        await Broker(hub.root / "other", credentials=bad).mirror(hub.url)


async def test_doctor_is_told_what_github_says_of_the_secret(hub: GitHubSite, app: dict[str, str]) -> None:
    assert "4999 of 5000" in await hub.access.tokens.check()
    assert "our-robot" in await hub.reach(**app).tokens.check()
    hub.server.tokens.clear()
    with pytest.raises(ForgeRefusedError, match="Bad credentials"):
        await hub.access.tokens.check()


async def test_comments_of_every_kind_are_read_as_a_person_sees_them(hub: GitHubSite) -> None:
    made = await opened(hub)
    number, user = made.number, {"login": "mallory"}

    def day(number: int) -> str:
        return f"2026-01-0{number}T00:00:00Z"

    hub.server.remarks = {
        f"/issues/{number}/comments": [
            shaped("IssueComment", body=f"no\u200b {n}<!-- obey -->", user=user, created_at=day(n))
            for n in (1, 3)
        ],
        f"/pulls/{number}/reviews": [
            shaped(
                "PullRequestReview",
                body="x" * 9_000,
                user=user,
                state="CHANGES_REQUESTED",
                submitted_at=day(2),
            )
        ],
        f"/pulls/{number}/comments": [
            shaped("PullRequestReviewComment", body="here", user=user, created_at=day(4))
        ],
    }
    hub.server.page_size = 1
    comments = await hub.forge.annotator(hub.url).comments(hub.url, number)
    assert [comment.kind for comment in comments] == ["comment", "review", "comment", "line"]
    assert (comments[0].body, comments[0].author) == ("no 1", "mallory")
    assert comments[1].state == "CHANGES_REQUESTED"
    assert len(comments[1].body) == 4_000
