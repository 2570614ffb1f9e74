"""Reads other people's repositories: what they offer, and why they cannot be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from libs.git.credentials import Credentials
from libs.git.environment import hardened, serving
from libs.git.error import CloneError
from libs.git.process import run
from libs.git.url import local_path, redact

_REASONS: tuple[tuple[re.Pattern[str], str, bool], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), remedy, transient)
    for pattern, remedy, transient in (
        (r"could not resolve host|could ?n[o']t connect|failed to connect|connection (refused|reset|timed)",
         "check the network and host", True),
        (r"early EOF|RPC failed|hung up unexpectedly|HTTP (429|5\d\d)|error: (429|5\d\d)", "try again", True),
        (r"could not read Username|Authentication failed|Permission denied \(|terminal prompts disabled",
         "git needs credentials: use an ssh agent, or an address that needs none", False),
        (r"error: 403|Permission to .* denied", "give the token the right to do this", False),
        (r"unable to update url base from redirection|error: 30\d", "it has moved: use its new address", False),
        (r"Host key verification failed", "add the host to ~/.ssh/known_hosts once", False),
        (r"Permission denied|cannot open", "give this user permission to read it", False),
        (r"not appear to be a git repository|not found|does not exist|not a git repository",
         "check the path or address", False),
    )
)  # fmt: skip
_NOISE = re.compile(
    r"^(warning: .*|Please make sure you have the correct access rights|and the repository exists\."
    r"|fatal: Could not read from remote repository\.|)$"
)


def cannot_read(url: str, stderr: str) -> CloneError:
    """Returns the error for what git said about a source it could not read."""
    words = redact(stderr)
    lines = [line.removeprefix("fatal: ") for line in words.splitlines() if not _NOISE.match(line)]
    cause = "; ".join(lines[:4]) or words.strip() or "git gave no reason"
    for pattern, remedy, transient in _REASONS:
        if pattern.search(words):
            return CloneError(redact(url), cause, remedy=remedy, transient=transient)
    return CloneError(redact(url), cause)


def reading(url: str) -> list[str]:
    """Returns the option by which a local source is served in safety; an empty list for a remote one."""
    return [f"--upload-pack={serving('upload-pack')}"] if local_path(url) is not None else []


async def advertised(
    url: str, home: Path, timeout_s: float, *, patterns: tuple[str, ...], credentials: Credentials
) -> Mapping[str, str]:
    """Returns ref name → object id as the source offers them; raises CloneError."""
    done = await run(
        ["ls-remote", *reading(url), "--", url, *patterns],
        cwd=home,
        environment={**hardened(home), **await credentials.variables(url)},
        timeout_s=timeout_s,
    )
    if done.code != 0:
        raise cannot_read(url, done.stderr)
    offers = {}
    for line in done.text.split("\n"):
        object_id, _, name = line.partition("\t")
        if name and not name.endswith("^{}"):
            offers[name] = object_id
    return offers


async def default_branch(url: str, home: Path, timeout_s: float, *, credentials: Credentials) -> str | None:
    """Returns the name of the branch that `HEAD` is at the source, or None where it is none; raises CloneError."""
    done = await run(
        ["ls-remote", "--symref", *reading(url), "--", url, "HEAD"],
        cwd=home,
        environment={**hardened(home), **await credentials.variables(url)},
        timeout_s=timeout_s,
    )
    if done.code != 0:
        raise cannot_read(url, done.stderr)
    told = re.search(r"^ref: refs/heads/(.+)\tHEAD$", done.text, re.MULTILINE)
    return told[1] if told else None
