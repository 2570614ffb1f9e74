"""Lays a pull request out in git, so that git alone can read it.

refs/heads/<head>             the branch, pushed by the broker
refs/pull/<n>/head, base      what the pull request proposes, and on top of what
refs/pull/<n>/meta            a commit whose tree holds title, body.md, state, evidence and pr.json;
                              each change of the pull request is one more commit
refs/autopilot/open/<hash>    exists while a pull request is open for a head and base (the hash of both);
                              points to the first of the meta commits
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from libs.forge.port import PullRequest
from libs.git.repository import Repository

OPEN = "refs/autopilot/open"
PULL = "refs/pull"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """Is a pull request together with the meta commit it was read from."""

    meta: str
    pull_request: PullRequest


def open_ref(head: str, base: str) -> str:
    """Returns the ref whose existence means that a pull request is open from head to base."""
    digest = hashlib.sha256(f"{head}\n{base}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"{OPEN}/{digest[:40]}"


def pull_ref(number: int, name: str) -> str:
    """Returns one of the refs of a pull request: head, base or meta."""
    return f"{PULL}/{number}/{name}"


def pull_number(ref: str) -> int:
    """Returns the number in a ref below `refs/pull/`; 0 if somebody put another thing there."""
    part = ref.removeprefix(f"{PULL}/").split("/", 1)[0]
    return int(part) if part.isdecimal() else 0


def utf8(text: str) -> str:
    """Returns the text with what UTF-8 cannot hold (odd file names) replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def write(
    repository: Repository, pull_request: PullRequest, parent: str | None, why: str, lock: int
) -> str:
    """Writes a meta commit into the object store, where nobody sees it yet, and returns its id."""
    document = msgspec.json.format(msgspec.json.encode(pull_request), indent=2) + b"\n"
    files = {
        "body.md": _text(pull_request.body),
        "evidence": "".join(_text(link) for link in pull_request.evidence),
        "pr.json": document.decode(),
        "state": _text(pull_request.state + (" (draft)" if pull_request.draft else "")),
        "title": _text(pull_request.title),
    }
    blobs = await asyncio.gather(
        *(
            repository.git(["hash-object", "-w", "--stdin"], data=content.encode(), lock=lock)
            for content in files.values()
        )
    )
    entries = [f"100644 blob {blob.text}\t{name}\n" for name, blob in zip(files, blobs, strict=True)]
    tree = await repository.git(["mktree"], data="".join(entries).encode(), lock=lock)
    parents = ["-p", parent] if parent else []
    message = f"Pull request {pull_request.number}: {why}\n\n{pull_request.title}\n"
    made = await repository.git(["commit-tree", tree.text, *parents], data=message.encode(), lock=lock)
    return made.text


async def read(repository: Repository, refs: Iterable[str]) -> dict[str, Stored]:
    """Reads the pull request behind each ref; a ref that does not exist is left out."""
    wanted = list(refs)
    if not wanted:
        return {}
    questions = "".join(f"{ref}^{{commit}}\n{ref}:pr.json\n" for ref in wanted)
    done = await repository.git(["cat-file", "--batch"], data=questions.encode())
    answers = _answers(done.stdout)
    found = {}
    for ref in wanted:
        commit, document = next(answers), next(answers)
        if commit is not None and document is not None:
            pull_request = msgspec.json.decode(document[1], type=PullRequest)
            found[ref] = Stored(meta=commit[0], pull_request=pull_request)
    return found


def _answers(output: bytes) -> Iterator[tuple[str, bytes] | None]:
    """Splits what `git cat-file --batch` says: a header line, then content and newline if it exists."""
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        header = output[position:end].decode().rsplit(" ", 2)
        position = end + 1
        if not header[-1].isdigit():
            yield None
            continue
        size = int(header[-1])
        yield header[0], output[position : position + size]
        position += size + 1


def _text(line: str) -> str:
    return line if line.endswith("\n") else line + "\n"
