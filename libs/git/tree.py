"""Describes what a commit holds and what differs between two commits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal["file", "executable", "symlink", "submodule"]
Status = Literal["A", "M", "D", "T"]

#: Any other mode is an ordinary file (old repositories hold 100664).
_KINDS: dict[str, Kind] = {"100755": "executable", "120000": "symlink", "160000": "submodule"}
_STATUSES: dict[str, Status] = {"A": "A", "M": "M", "D": "D", "T": "T"}


class TreeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Names one entry of a commit's tree.

    A path that is not UTF-8 carries surrogate escapes, as `os.fsdecode` makes them.
    """

    path: str
    mode: str
    kind: Kind
    blob: str
    #: Bytes of the content; None for a submodule, which has none here.
    size: int | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Names one path that differs between two commits; a rename is a deletion and an addition.

    On the side where the path does not exist, mode is "000000" and blob is None.
    """

    path: str
    #: A added, M modified, D deleted, T changed its type (file to symlink, for example).
    status: Status
    old_mode: str
    new_mode: str
    old_blob: str | None
    new_blob: str | None
    #: Lines; both 0 for binary content.
    added: int
    removed: int
    binary: bool


def parse_tree(listing: bytes) -> list[TreeEntry]:
    """Reads `git ls-tree -r -z -l`."""
    entries = []
    for record in listing.split(b"\0")[:-1]:
        facts, path = record.split(b"\t", 1)
        mode, _, blob, size = facts.decode().split()
        entries.append(
            TreeEntry(
                path=os.fsdecode(path),
                mode=mode,
                kind=_KINDS.get(mode, "file"),
                blob=blob,
                size=None if size == "-" else int(size),
            )
        )
    return entries


def parse_changes(listing: bytes) -> list[Change]:
    """Reads `git diff-tree -r -z --raw --numstat --no-renames`: all raw records, then all counts."""
    fields = listing.split(b"\0")[:-1]
    raw: dict[bytes, list[str]] = {}
    position = 0
    while position < len(fields) and fields[position].startswith(b":"):
        raw[fields[position + 1]] = fields[position][1:].decode().split()
        position += 2
    counts: dict[bytes, tuple[bytes, bytes]] = {}
    for record in fields[position:]:
        added, removed, path = record.split(b"\t", 2)
        counts[path] = (added, removed)
    return [_change(path, facts, *counts.get(path, (b"0", b"0"))) for path, facts in raw.items()]


def _change(path: bytes, facts: list[str], added: bytes, removed: bytes) -> Change:
    old_mode, new_mode, old_blob, new_blob, status = facts
    binary = added == b"-"
    return Change(
        path=os.fsdecode(path),
        status=_STATUSES[status],
        old_mode=old_mode,
        new_mode=new_mode,
        old_blob=old_blob if old_blob.strip("0") else None,
        new_blob=new_blob if new_blob.strip("0") else None,
        added=0 if binary else int(added),
        removed=0 if binary else int(removed),
        binary=binary,
    )


def tree_with(entries: Sequence[TreeEntry], contents: Mapping[str, bytes]) -> str:
    """Hashes the tree that a commit would have with other contents of some files; nothing is stored.

    Contents are hashed as they are: filters and line endings that `.gitattributes` asks for are not applied.
    """
    sha256 = any(len(entry.blob) == 64 for entry in entries)
    folders: dict[str, list[tuple[bytes, bytes]]] = {"": []}
    for entry in entries:
        blob = entry.blob
        if entry.path in contents:
            blob = _object_id(b"blob", contents[entry.path], sha256=sha256)
        folder, _, name = entry.path.rpartition("/")
        while folder not in folders:
            folders[folder] = []
            folder = folder.rpartition("/")[0]
        folders[entry.path.rpartition("/")[0]].append(
            (os.fsencode(name), b"%s %s\0%s" % (entry.mode.encode(), os.fsencode(name), bytes.fromhex(blob)))
        )
    for folder in sorted(folders, key=lambda path: -path.count("/") if path else 1):
        # Git orders folders as if their names ended in a slash.
        body = b"".join(record for _, record in sorted(folders[folder]))
        made = _object_id(b"tree", body, sha256=sha256)
        if not folder:
            return made
        above, _, name = folder.rpartition("/")
        record = b"40000 %s\0%s" % (os.fsencode(name), bytes.fromhex(made))
        folders[above].append((os.fsencode(name) + b"/", record))
    raise AssertionError("the root is a folder")


def _object_id(kind: bytes, content: bytes, *, sha256: bool) -> str:
    whole = b"%s %d\0" % (kind, len(content)) + content
    return (hashlib.sha256(whole) if sha256 else hashlib.sha1(whole, usedforsecurity=False)).hexdigest()
