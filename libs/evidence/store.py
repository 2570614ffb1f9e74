"""Stores evidence under the SHA-256 of its content: `<root>/ab/<digest>`, and `.zst` once compressed.

What is stored never changes, only how: raw, or compressed. A name appears by rename when its content is safe
on disk, and the raw file goes only after the compressed one was read back. So a reader finds one of the two
at any moment, and a process that dies anywhere leaves at worst a file in `.incoming`, which `sweep` removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import msgspec
import zstandard

from libs.evidence.error import (
    EvidenceCorruptError,
    EvidenceMissingError,
    EvidenceSourceError,
    InvalidDigestError,
)
from libs.evidence.redaction import Redactor

_DIGEST = re.compile(r"[0-9a-f]{64}")
_COMPRESSED = ".zst"
_CHUNK = 256 * 1024
#: zstd's own default: three times smaller logs at some hundred MB/s; higher levels cost more than they save.
_LEVEL = 3
#: Bytes that a zstd frame header has at most.
_HEADER = 18


class EvidenceStat(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of stored evidence without reading it."""

    digest: str
    #: Bytes of the content.
    size: int
    #: Bytes on disk.
    stored: int
    compressed: bool


class EvidenceStore:
    """Writes and reads evidence below a directory that several processes may share.

    With a redactor everything that is put passes through it first, and the digest names what is left. Methods
    block: call them in a thread for anything large.
    """

    def __init__(self, root: Path, redactor: Redactor | None = None) -> None:
        self.root = root
        self._redactor = redactor
        self._incoming = root / ".incoming"

    def put_bytes(self, data: bytes) -> str:
        """Store bytes and return their digest; storing them again changes nothing."""
        return self.put_chunks((data,))[0]

    def put_file(self, path: Path) -> tuple[str, int]:
        """Store a file's content in constant memory and return (digest, size in bytes).

        Raises EvidenceSourceError for anything but a regular file: a path that untrusted code can write might
        be a symlink to what it could not read itself, or a pipe that never ends.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise EvidenceSourceError(path, os.strerror(error.errno or 0)) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise EvidenceSourceError(path, "it is not a regular file")
        with open(descriptor, "rb", buffering=0) as source:
            return self.put_chunks(_chunks_of(source))

    def put_chunks(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Store a stream in constant memory and return (digest, size in bytes)."""
        if self._redactor is not None:
            chunks = self._redactor.stream(chunks)
        digest, size = hashlib.sha256(), 0
        with self._new_file() as (file, name):
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
            place = self._place(digest.hexdigest())
            if not (_size(place) == size or _size(_compressed(place)) is not None):
                _publish(file, name, place)
        return digest.hexdigest(), size

    def has(self, digest: str) -> bool:
        """Tell whether evidence is stored under a digest. Raises InvalidDigestError."""
        place = self._place(digest)
        return _size(place) is not None or _size(_compressed(place)) is not None

    def stat(self, digest: str) -> EvidenceStat:
        """Describe stored evidence. Raises InvalidDigestError, EvidenceMissingError, EvidenceCorruptError."""
        with self._stored(digest) as (file, compressed):
            stored = os.fstat(file.fileno()).st_size
            size = _content_size(digest, file.read(_HEADER)) if compressed else stored
        return EvidenceStat(digest=digest, size=size, stored=stored, compressed=compressed)

    def read(self, digest: str, limit: int | None = None) -> bytes:
        """Return the content, or its first `limit` bytes, which are not checked against the digest.

        Raises what `open` raises.
        """
        if limit is None:
            return b"".join(self.open(digest))
        kept, left = [], limit
        for chunk in self.open(digest):
            kept.append(chunk[:left])
            left -= len(kept[-1])
            if left <= 0:
                break
        return b"".join(kept)

    def open(self, digest: str) -> Iterator[bytes]:
        """Read the content in chunks, decompressed.

        Raises InvalidDigestError and EvidenceMissingError at once, and EvidenceCorruptError, at the latest
        behind the last chunk: only who has read to the end knows that all of it was right.
        """
        if not self.has(digest):
            raise EvidenceMissingError(digest)
        return self._read(digest)

    def compress(self, digest: str) -> tuple[int, int] | None:
        """Store evidence compressed and return its bytes on disk (before, after); None if there is none.

        Doing it again, or after half of it, gives the same answer. Raises EvidenceCorruptError if what was
        compressed does not read back as the digest says; the raw file stays then.
        """
        place = self._place(digest)
        try:
            source = _open(place)
        except FileNotFoundError:
            try:
                known = self.stat(digest)
            except EvidenceMissingError:
                return None
            return known.size, known.stored
        with source, self._new_file() as (file, name):
            size = os.fstat(source.fileno()).st_size
            zstandard.ZstdCompressor(level=_LEVEL).copy_stream(source, file, size=size)
            file.seek(0)
            _check(digest, _decompressed(digest, file))
            after = os.fstat(file.fileno()).st_size
            _publish(file, name, _compressed(place))
        place.unlink(missing_ok=True)
        return size, after

    def uncompressed(self) -> Iterator[str]:
        """List the digests of all evidence stored raw, the smallest first: it needs the least room."""
        found = []
        for folder in self.root.glob("[0-9a-f][0-9a-f]"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        if _DIGEST.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                            found.append((entry.stat(follow_symlinks=False).st_size, entry.name))
        return (digest for _, digest in sorted(found))

    def sweep(self, older_than: float) -> int:
        """Remove what dead writers left, last written before a Unix time; returns how many files."""
        removed = 0
        for path in self._incoming.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_mtime < older_than:
                    path.unlink()
                    removed += 1
        return removed

    def _read(self, digest: str) -> Iterator[bytes]:
        with self._stored(digest) as (file, compressed):
            yield from _check_passing(digest, _decompressed(digest, file) if compressed else _chunks_of(file))

    @contextlib.contextmanager
    def _stored(self, digest: str) -> Iterator[tuple[IO[bytes], bool]]:
        place = self._place(digest)
        # In this order: evidence only ever goes from raw to compressed, so one of the two looks finds it.
        for path in (place, _compressed(place)):
            with contextlib.suppress(FileNotFoundError):
                file = _open(path)
                break
        else:
            raise EvidenceMissingError(digest)
        with file:
            yield file, path != place

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise InvalidDigestError(digest)
        return self.root / digest[:2] / digest

    @contextlib.contextmanager
    def _new_file(self) -> Iterator[tuple[IO[bytes], str]]:
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        try:
            with open(descriptor, "w+b") as file:
                yield file, name
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _publish(file: IO[bytes], name: str, place: Path) -> None:
    """Give a file its final name once its bytes are on disk, and wait until the name is there too."""
    file.flush()
    os.fsync(file.fileno())
    if not place.parent.is_dir():
        place.parent.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(place.parent.parent)
    os.replace(name, place)
    _sync_folder(place.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open(path: Path) -> IO[bytes]:
    # Nobody but this store makes names here: a symlink is an intrusion and reads as missing.
    try:
        return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
    except OSError as error:
        if path.is_symlink():
            raise FileNotFoundError(path) from error
        raise


def _size(path: Path) -> int | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _compressed(place: Path) -> Path:
    return place.with_name(place.name + _COMPRESSED)


def _chunks_of(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _decompressed(digest: str, file: IO[bytes]) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as reader:
        while True:
            try:
                chunk = reader.read(_CHUNK)
            except zstandard.ZstdError as error:
                raise EvidenceCorruptError(digest, f"it cannot be decompressed ({error})") from error
            if not chunk:
                return
            yield chunk


def _content_size(digest: str, header: bytes) -> int:
    try:
        size = zstandard.frame_content_size(header)
    except zstandard.ZstdError as error:
        raise EvidenceCorruptError(digest, "it does not begin as compressed evidence does") from error
    if size < 0:
        raise EvidenceCorruptError(digest, "its header does not tell the size")
    return size


def _check_passing(digest: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    seen = hashlib.sha256()
    for chunk in chunks:
        seen.update(chunk)
        yield chunk
    if seen.hexdigest() != digest:
        raise EvidenceCorruptError(digest, f"its content has digest {seen.hexdigest()}")


def _check(digest: str, chunks: Iterable[bytes]) -> None:
    for _ in _check_passing(digest, chunks):
        pass
