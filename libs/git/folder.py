"""Makes a commit of some files of a folder that is no checkout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from libs.git.repository import Repository


async def commit_files(
    repository: Repository,
    folder: Path,
    files: Sequence[str],
    message: str,
    *,
    parents: Sequence[str],
    when: datetime,
) -> str:
    """Writes files (paths below the folder) as the whole tree of a commit and returns its id; no ref is moved.

    The same content, message, parents and time give the same id.
    """
    index = folder.with_name(f".{folder.name}.index")
    where = {"GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}
    date = f"{int(when.timestamp())} +0000"
    try:
        for leftover in (index, index.with_name(index.name + ".lock")):
            leftover.unlink(missing_ok=True)
        await repository.git(
            ["add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"],
            data=b"\0".join(os.fsencode(name) for name in files),
            extra=where,
            cwd=folder,
        )
        tree = (await repository.git(["write-tree"], extra=where)).text
    finally:
        index.unlink(missing_ok=True)
    made = await repository.git(
        ["commit-tree", tree, *(word for parent in parents for word in ("-p", parent))],
        data=message.encode(),
        extra={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
    )
    return made.text
