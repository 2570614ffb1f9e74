"""Packs one commit's tree into a file that git alone turns back into a checkout."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from libs.git.environment import ATTRIBUTES
from libs.git.repository import Repository


async def write_bundle(repository: Repository, commit: str, path: Path) -> None:
    """Writes the bundle in one rename; it holds a commit without parents that has the commit's tree.

    Bundles cannot be shallow, and a whole history is neither needed nor small, hence the new commit.
    Its id depends on the commit alone.
    """
    tree = (await repository.git(["rev-parse", "--verify", f"{commit}^{{tree}}"])).text
    date = (await repository.git(["log", "--no-walk", "--format=%ct", commit])).text
    root = await repository.git(
        ["commit-tree", tree],
        data=f"Tree of {commit}\n".encode(),
        extra={"GIT_AUTHOR_DATE": f"{date} +0000", "GIT_COMMITTER_DATE": f"{date} +0000"},
    )
    length = len(commit)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".part")
    await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
    try:
        # A bundle needs names to offer; they are given in a repository that borrows the mirror's objects,
        # so that the mirror's own refs are left alone.
        where = {"GIT_DIR": str(scratch)}
        object_format = "sha256" if length == 64 else "sha1"
        await repository.git(
            ["init", "--bare", "--quiet", "--template=", f"--object-format={object_format}", str(scratch)],
            extra=where,
        )
        (scratch / "objects" / "info" / "alternates").write_text(f"{repository.path / 'objects'}\n")
        (scratch / "info").mkdir(exist_ok=True)
        (scratch / "info" / "attributes").write_text(ATTRIBUTES)
        await repository.git(["update-ref", "refs/heads/main", root.text], extra=where)
        made = scratch / "out.bundle"
        await repository.git(
            ["bundle", "create", "--quiet", str(made), "HEAD", "refs/heads/main"], extra=where
        )
        made.rename(path)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
