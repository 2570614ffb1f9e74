"""Puts labels and checks on pull requests at GitHub, and reads what people wrote there."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from libs.forge.github.address import Address
from libs.forge.github.answer import CheckRun, CheckRuns, Label, Remark, Status
from libs.forge.github.client import Client
from libs.forge.github.text import MAX_BODY, clean, utf8
from libs.forge.github.wire import AnswerError
from libs.forge.port import Check, Comment

NAME = "Autopilot"
_DESCRIPTION = "Made by Autopilot, without a person"
_COLOUR = "0e7490"
#: Characters that are kept of one comment, pages of a hundred that are read of each kind, comments in all.
MAX_COMMENT, COMMENT_PAGES, MAX_COMMENTS = 4_000, 3, 200
_MAX_STATUS = 140


class GitHubAnnotator:
    """Finds what is there before it adds anything."""

    def __init__(self, client: Client, locate: Callable[[str], Address]) -> None:
        self._client = client
        self._locate = locate

    async def label(self, repo_url: str, number: int, name: str) -> bool:
        """Labels a pull request with a label that is made if it is missing."""
        where = self._locate(repo_url)
        path = f"/issues/{number}/labels"
        async for page in self._client.pages(where, path, tuple[Label, ...]):
            if any(label.name == name for label in page):
                return False
        if await self._client.find(where, f"/labels/{quote(name, safe='')}", Label) is None:
            wish = {"name": name, "color": _COLOUR, "description": _DESCRIPTION}
            try:
                await self._client.post(where, "/labels", wish, Label)
            except AnswerError as error:
                if not any(fault.code == "already_exists" for fault in error.faults):
                    raise
        await self._client.post(where, path, {"labels": [name]}, tuple[Label, ...])
        return True

    async def check(self, repo_url: str, check: Check) -> tuple[str, bool]:
        """Publishes a check run; with a person's token, which may not, a commit status."""
        where = self._locate(repo_url)
        if self._client.tokens.kind == "app":
            return await self._check_run(where, check)
        return await self._status(where, check)

    async def comments(self, repo_url: str, number: int) -> tuple[Comment, ...]:
        """Returns comments, reviews and remarks on lines, oldest first; of too many, the latest."""
        where = self._locate(repo_url)
        found: list[Comment] = []
        for kind, path in (
            ("comment", f"/issues/{number}/comments"),
            ("review", f"/pulls/{number}/reviews"),
            ("line", f"/pulls/{number}/comments"),
        ):
            async for page in self._client.pages(where, path, tuple[Remark, ...], most=COMMENT_PAGES):
                found += [
                    Comment(
                        kind=kind,  # type: ignore[arg-type]
                        author=clean(remark.user.login if remark.user else "", 100),
                        association=clean(remark.author_association, 40),
                        body=clean(remark.body or "", MAX_COMMENT),
                        state=clean(remark.state, 40),
                        at=remark.submitted_at or remark.created_at,
                        url=remark.html_url,
                    )
                    for remark in page
                ]
        return tuple(sorted(found, key=lambda comment: comment.at)[-MAX_COMMENTS:])

    async def _check_run(self, where: Address, check: Check) -> tuple[str, bool]:
        path = f"/commits/{check.commit}/check-runs"
        async for page in self._client.pages(where, path, CheckRuns, {"check_name": NAME, "filter": "all"}):
            for run in page.check_runs:
                if run.external_id == check.key:
                    return run.html_url or str(run.id), False
        wish = {
            "name": NAME,
            "head_sha": check.commit,
            "external_id": check.key,
            "status": "completed",
            "conclusion": check.conclusion,
            "output": {"title": utf8(check.title), "summary": utf8(check.summary)[:MAX_BODY]},
        }
        made = await self._client.post(where, "/check-runs", wish, CheckRun)
        return made.html_url or str(made.id), True

    async def _status(self, where: Address, check: Check) -> tuple[str, bool]:
        wish = {
            "state": "success" if check.conclusion == "success" else "pending",
            "context": NAME,
            "description": utf8(check.title)[:_MAX_STATUS],
        }
        async for page in self._client.pages(
            where, f"/commits/{check.commit}/statuses", tuple[Status, ...], most=1
        ):
            # The latest first; an older one of ours that said something else does not count.
            for status in page:
                if status.context == NAME:
                    if (status.state, status.description) == (wish["state"], wish["description"]):
                        return status.url, False
                    break
        made = await self._client.post(where, f"/statuses/{check.commit}", wish, Status)
        return made.url, True
