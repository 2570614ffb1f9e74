"""Keeps pull requests at GitHub."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
import structlog

from libs.forge.error import (
    ForgeRefusedError,
    ForgeUnavailableError,
    HeadMovedError,
    PullRequestClosedError,
    PullRequestExistsError,
    UnknownBaseError,
    UnknownPullRequestError,
)
from libs.forge.github import address, text
from libs.forge.github.address import Address
from libs.forge.github.annotator import GitHubAnnotator
from libs.forge.github.answer import Commit, Pull, Ref, Repo
from libs.forge.github.client import Client
from libs.forge.github.wire import AnswerError, OutcomeUnknownError
from libs.forge.port import PullRequest, State
from libs.git.url import redact

_log = structlog.get_logger(__name__)
_NO_BRANCH = "GitHub opens pull requests onto branches only, and has none of this name"
_TO_DRAFT = (
    "mutation($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { clientMutationId } }"
)
_TO_READY = (
    "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { clientMutationId } }"
)


class GitHubForge:
    """Is a forge at a GitHub site.

    GitHub itself refuses a second open pull request for a head and base, whoever asks and however often: that is
    what makes opening happen once. What it cannot decide together with opening is where the branch is; see
    `open`.
    """

    def __init__(self, client: Client, site: str) -> None:
        self._client = client
        self._site = site
        self._annotator = GitHubAnnotator(client, self.address)

    def address(self, repo_url: str) -> Address:
        """Returns the repository an address means; raises ForgeRefusedError for one elsewhere."""
        found = address.parse(repo_url, self._site)
        if found is None:
            raise ForgeRefusedError(f"{redact(repo_url)} is no repository of {self._site}")
        return found

    def annotator(self, repo_url: str) -> GitHubAnnotator:
        """Returns what puts labels, checks and comments there."""
        return self._annotator

    async def remote(self, repo_url: str) -> str:
        """Returns the address to push to: by HTTPS, whatever way the given one names."""
        return f"{self._site}/{self.address(repo_url)}.git"

    async def check_base(self, repo_url: str, base: str) -> None:
        """Raises UnknownBaseError unless the base is a branch."""
        where = self.address(repo_url)
        branch = await self._base(where, base)
        if await self._branch(where, branch) is None:
            raise UnknownBaseError(branch, _NO_BRANCH)

    async def branch_head(self, repo_url: str, branch: str) -> str | None:
        """Returns the commit a branch is at, or None."""
        return await self._branch(self.address(repo_url), branch)

    async def find(self, repo_url: str, head: str, base: str) -> PullRequest | None:
        """Returns the open pull request from head to base, both in this repository, or None."""
        where = self.address(repo_url)
        found = await self._find(where, head, await self._base(where, base))
        return None if found is None else await self._whole(repo_url, where, found)

    async def get(self, repo_url: str, number: int) -> PullRequest:
        """Returns a pull request in any state; raises UnknownPullRequestError."""
        where = self.address(repo_url)
        return await self._whole(repo_url, where, await self._get(repo_url, where, number))

    async def open(
        self,
        repo_url: str,
        *,
        head: str,
        base: str,
        head_commit: str,
        title: str,
        body: str,
        draft: bool = False,
        evidence: tuple[str, ...] = (),
        base_commit: str | None = None,
    ) -> PullRequest:
        """Opens a pull request for a branch that was pushed before; the base has to be a branch.

        The branch is looked at before and in GitHub's answer: moved in between, the pull request is open and
        HeadMovedError is raised. An answer that is lost is made up for by looking.
        Raises PullRequestExistsError, UnknownBaseError, HeadMovedError, ForgeRefusedError and
        ForgeUnavailableError.
        """
        where = self.address(repo_url)
        branch = await self._base(where, base)
        tree = await self._tree_at(where, head, head_commit)
        published = text.compose(body, evidence)
        wish = {
            "title": text.title_of(title),
            "head": head,
            "base": branch,
            "body": published,
            "draft": draft,
            "maintainer_can_modify": False,
        }
        try:
            made = await self._client.post(where, "/pulls", wish, Pull)
        except AnswerError as error:
            await self._explain(error, where, head, head_commit, branch)
            raise
        except OutcomeUnknownError:
            seen = await self._find(where, head, branch)
            if seen is None:
                raise
            if text.split(seen.body or "") != text.split(published):
                raise PullRequestExistsError(seen.number, head, branch) from None
            _log.info("pull request found opened after a lost answer", repo=str(where), number=seen.number)
            made = seen
        if made.head.sha != head_commit:
            raise HeadMovedError(head, head_commit, made.head.sha)
        _log.info("pull request opened", repo=str(where), number=made.number, head=head, base=branch)
        return _described(repo_url, made, tree)

    async def update(
        self,
        repo_url: str,
        number: int,
        *,
        head_commit: str | None = None,
        base_commit: str | None = None,
        title: str | None = None,
        body: str | None = None,
        draft: bool | None = None,
        evidence: tuple[str, ...] | None = None,
    ) -> PullRequest:
        """Changes what is given of an open pull request; sends nothing where nothing differs.

        `base_commit` is GitHub's own affair. Raises UnknownPullRequestError, PullRequestClosedError and
        HeadMovedError.
        """
        where = self.address(repo_url)
        pull = await self._get(repo_url, where, number)
        if (state := _state(pull)) != "open":
            raise PullRequestClosedError(number, state)
        tree = None
        if head_commit is not None:
            tree = await self._tree_at(where, pull.head.ref, head_commit)
        old_body, old_evidence = text.split(pull.body or "")
        published = text.compose(
            old_body if body is None else body, old_evidence if evidence is None else evidence
        )
        wish: dict[str, Any] = {}
        if title is not None and text.title_of(title) != pull.title:
            wish["title"] = text.title_of(title)
        if text.split(published) != (old_body, old_evidence):
            wish["body"] = published
        if wish:
            pull = await self._client.patch(where, f"/pulls/{number}", wish, Pull)
        if draft is not None and draft != pull.draft:
            await self._client.mutate(where, _TO_DRAFT if draft else _TO_READY, {"id": pull.node_id})
            pull = msgspec.structs.replace(pull, draft=draft)
        if head_commit is not None:
            # GitHub moves a pull request's head some time after the branch.
            pull = msgspec.structs.replace(pull, head=msgspec.structs.replace(pull.head, sha=head_commit))
        return await self._whole(repo_url, where, pull, tree)

    async def close(self, repo_url: str, number: int) -> PullRequest:
        """Closes a pull request; closing it again changes nothing. Raises UnknownPullRequestError."""
        where = self.address(repo_url)
        pull = await self._get(repo_url, where, number)
        if pull.state == "open":
            pull = await self._client.patch(where, f"/pulls/{number}", {"state": "closed"}, Pull)
        return await self._whole(repo_url, where, pull)

    async def _explain(
        self, error: AnswerError, where: Address, head: str, head_commit: str, base: str
    ) -> None:
        """Raises what a refusal to open means; returns if it has no name here."""
        if error.status != 422:
            return
        if "already exists" in error.cause:
            seen = await self._find(where, head, base)
            if seen is None:
                cause = (
                    f"GitHub refuses a second pull request for {head} → {base}, but shows no first one yet"
                )
                raise ForgeUnavailableError(cause, transient=True) from None
            raise PullRequestExistsError(seen.number, head, base) from None
        fields = {fault.field for fault in error.faults}
        if "base" in fields:
            raise UnknownBaseError(base, _NO_BRANCH) from None
        if "head" in fields:
            raise HeadMovedError(head, head_commit, None) from None

    async def _get(self, repo_url: str, where: Address, number: int) -> Pull:
        pull = await self._client.find(where, f"/pulls/{number}", Pull)
        if pull is None:
            raise UnknownPullRequestError(redact(repo_url), number)
        return pull

    async def _find(self, where: Address, head: str, base: str) -> Pull | None:
        params = {"state": "open", "head": f"{where.owner}:{head}", "base": base}
        async for page in self._client.pages(where, "/pulls", tuple[Pull, ...], params):
            for pull in page:
                # GitHub leaves a filter out that it cannot read, and a fork may have a branch of the same name.
                same = pull.head.repo is not None and pull.head.repo == pull.base.repo
                if same and (pull.head.ref, pull.base.ref, _state(pull)) == (head, base, "open"):
                    return pull
        return None

    async def _base(self, where: Address, base: str) -> str:
        """Returns the branch that is meant; GitHub has no pull requests onto `HEAD`."""
        if base == "HEAD":
            return (await self._client.get(where, "", Repo)).default_branch
        return base.removeprefix("refs/heads/")

    async def _branch(self, where: Address, branch: str) -> str | None:
        ref = f"refs/heads/{branch}"
        found = await self._client.find(where, f"/git/ref/heads/{quote(branch, safe='/')}", Ref)
        return found.object.sha if found is not None and found.ref == ref else None

    async def _tree(self, where: Address, commit: str) -> str:
        return (await self._client.get(where, f"/git/commits/{commit}", Commit)).tree.sha

    async def _tree_at(self, where: Address, head: str, commit: str) -> str:
        """Returns the commit's tree; raises HeadMovedError unless the branch is at the commit."""
        actual = await self._branch(where, head)
        if actual != commit:
            raise HeadMovedError(head, commit, actual)
        return await self._tree(where, commit)

    async def _whole(self, repo_url: str, where: Address, pull: Pull, tree: str | None = None) -> PullRequest:
        return _described(repo_url, pull, tree or await self._tree(where, pull.head.sha))


def _state(pull: Pull) -> State:
    if pull.state == "open":
        return "open"
    return "merged" if pull.merged_at else "closed"


def _described(repo_url: str, pull: Pull, tree: str) -> PullRequest:
    body, evidence = text.split(pull.body or "")
    return PullRequest(
        number=pull.number,
        repo=redact(repo_url),
        head=pull.head.ref,
        base=pull.base.ref,
        head_commit=pull.head.sha,
        base_commit=pull.base.sha,
        tree=tree,
        title=pull.title,
        body=body,
        state=_state(pull),
        draft=pull.draft,
        url=pull.html_url,
        evidence=evidence,
    )
