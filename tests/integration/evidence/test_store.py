"""What the evidence store keeps, and what it refuses."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.evidence.error import (
    EvidenceCorruptError,
    EvidenceMissingError,
    EvidenceSourceError,
    InvalidDigestError,
)
from libs.evidence.redaction import Redactor
from libs.evidence.store import EvidenceStore

ABSENT = "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path / "evidence")


def files(store: EvidenceStore) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> EvidenceStore:
    return EvidenceStore(tmp_path_factory.mktemp("evidence"))


@settings(max_examples=30)
@given(data=st.binary(max_size=2_000), limit=st.integers(0, 2_500))
def test_what_was_put_is_read_whatever_its_form(shared: EvidenceStore, data: bytes, limit: int) -> None:
    digest = shared.put_bytes(data)
    assert digest == hashlib.sha256(data).hexdigest()
    for _ in range(2):
        assert (shared.read(digest), shared.read(digest, limit)) == (data, data[:limit])
        assert shared.stat(digest).size == len(data)
        shared.compress(digest)


def test_a_put_is_idempotent_and_leaves_nothing_beside_it(store: EvidenceStore) -> None:
    digest = store.put_bytes(b"log")
    assert store.put_bytes(b"log") == digest
    assert files(store) == [f"{digest[:2]}/{digest}"]
    store.compress(digest)
    assert store.put_bytes(b"log") == digest
    assert files(store) == [f"{digest[:2]}/{digest}.zst"]


def test_a_file_is_stored_in_chunks_and_is_the_same_evidence(store: EvidenceStore, tmp_path: Path) -> None:
    data = b"0123456789abcdef" * 100_000
    (tmp_path / "log").write_bytes(data)
    assert store.put_file(tmp_path / "log") == (hashlib.sha256(data).hexdigest(), len(data))
    assert len(list(store.open(store.put_bytes(data)))) > 1


def test_compressing_tells_the_bytes_on_disk_and_again_the_same(store: EvidenceStore) -> None:
    digest = store.put_bytes(b"a line of a log\n" * 5_000)
    first = store.compress(digest)
    assert first is not None
    assert first[1] < first[0] == 80_000
    assert store.compress(digest) == first
    known = store.stat(digest)
    assert (known.compressed, known.size, known.stored) == (True, *first)
    assert store.compress(ABSENT) is None


def test_a_process_that_died_between_the_two_files_is_made_good(store: EvidenceStore) -> None:
    digest = store.put_bytes(b"evidence")
    raw = store.root / digest[:2] / digest
    data = raw.read_bytes()
    store.compress(digest)
    raw.write_bytes(data)
    assert list(store.uncompressed()) == [digest]
    assert store.compress(digest) is not None
    assert list(store.uncompressed()) == []


def test_a_reader_finds_it_at_any_moment_of_the_compression(store: EvidenceStore) -> None:
    contents = [b"%d " % number * 2_000 for number in range(12)]
    digests = [store.put_bytes(content) for content in contents]
    compressing = threading.Thread(target=lambda: [store.compress(digest) for digest in digests])
    compressing.start()
    rounds = 0
    while compressing.is_alive() or not rounds:
        assert [store.read(digest) for digest in digests] == contents
        rounds += 1
    compressing.join()
    assert [store.read(digest) for digest in digests] == contents


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_damage_is_noticed(store: EvidenceStore, compressed: bool, damage: str) -> None:
    digest = store.put_bytes(b"what the verifier printed\n" * 100)
    if compressed:
        store.compress(digest)
    path = store.root / digest[:2] / (digest + ".zst" * compressed)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "truncate": bytes(data[:-3]), "empty": b""}[damage])
    with pytest.raises(EvidenceCorruptError):
        store.read(digest)


def test_damaged_evidence_is_not_compressed_and_stays_for_a_person(store: EvidenceStore) -> None:
    digest = store.put_bytes(b"right")
    path = store.root / digest[:2] / digest
    path.write_bytes(b"wrong")
    with pytest.raises(EvidenceCorruptError):
        store.compress(digest)
    assert files(store) == [f"{digest[:2]}/{digest}"]


def test_a_put_mends_what_was_cut_short(store: EvidenceStore) -> None:
    digest = store.put_bytes(b"whole")
    (store.root / digest[:2] / digest).write_bytes(b"who")
    store.put_bytes(b"whole")
    assert store.read(digest) == b"whole"


@pytest.mark.parametrize(
    "digest", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "/" + "0" * 63]
)
def test_a_digest_that_is_none_never_becomes_a_path(store: EvidenceStore, digest: str) -> None:
    for call in (store.read, store.open, store.has, store.stat, store.compress):
        with pytest.raises(InvalidDigestError):
            call(digest)


def test_what_is_missing_is_missing(store: EvidenceStore) -> None:
    assert not store.has(ABSENT)
    for call in (store.read, store.open, store.stat):
        with pytest.raises(EvidenceMissingError):
            call(ABSENT)


def test_a_symlink_in_the_store_is_not_followed(store: EvidenceStore, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"private")
    digest = hashlib.sha256(b"private").hexdigest()
    (store.root / digest[:2]).mkdir(parents=True)
    (store.root / digest[:2] / digest).symlink_to(tmp_path / "outside")
    assert not store.has(digest)
    assert list(store.uncompressed()) == []
    assert store.compress(digest) is None
    with pytest.raises(EvidenceMissingError):
        store.read(digest)


def test_only_regular_files_are_taken_in(store: EvidenceStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", ".", "nothing"):
        with pytest.raises(EvidenceSourceError):
            store.put_file(tmp_path / name)
    assert files(store) == []


def test_a_failing_source_stores_nothing(store: EvidenceStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        store.put_chunks(chunks())
    assert files(store) == []


def test_with_a_redactor_no_secret_reaches_the_disk(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path / "evidence", Redactor(["correct horse battery"]))
    digest, size = store.put_chunks([b"key: correct hor", b"se battery\n"])
    assert store.read(digest) == b"key: [redacted]\n"
    assert (digest, size) == (hashlib.sha256(b"key: [redacted]\n").hexdigest(), 16)


def test_what_dead_writers_left_is_swept_and_nothing_else(store: EvidenceStore) -> None:
    kept = store.put_bytes(b"kept")
    for name, age in (("old", 100), ("new", 200)):
        path = store.root / ".incoming" / name
        path.write_bytes(b"half")
        os.utime(path, (age, age))
    assert store.sweep(150) == 1
    assert files(store) == sorted([".incoming/new", f"{kept[:2]}/{kept}"])
