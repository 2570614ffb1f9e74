"""Repositories for people's eyes: never with the credentials that a URL may carry."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from contracts.task import PullRequestRef, RepoChange, RepoSpec
from services.dashboard.projections.documents import LIST_LIMIT, REASON_LIMIT, Change, Repo
from services.dashboard.projections.narrative import clip


def repo_of(spec: RepoSpec) -> Repo:
    """Show one repository of a task."""
    return Repo(name=spec.name, url=without_credentials(spec.url), base=spec.base)


def change_of(change: RepoChange) -> Change:
    """Show the commit that was made in a repository."""
    return Change(
        repo=change.repo,
        commit=change.commit,
        tree=change.tree,
        files=len(change.files),
        diff=change.diff.digest if change.diff else "",
        remarks=tuple(clip(remark, REASON_LIMIT) for remark in change.remarks[:LIST_LIMIT]),
    )


def pull_of(pull: PullRequestRef) -> PullRequestRef:
    """Show a pull request."""
    return msgspec.structs.replace(
        pull, repo_url=without_credentials(pull.repo_url), url=without_credentials(pull.url)
    )


def without_credentials(url: str) -> str:
    """Leave user name and password out of a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)" if "@" in url else url
    if not parts.scheme or "@" not in parts.netloc:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
