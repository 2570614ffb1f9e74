"""An exported record is verified without a database, and what was done to the file is found."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.journal.archive import Archive, ArchiveError, export, writing
from libs.journal.snapshot import snapshot
from libs.journal.verification import Verdict, verify
from tests.integration.journal.scene import KEY, OTHER_KEY, Journal


async def verified(file: Path, key: str = KEY.public) -> Verdict:
    with Archive(file) as archive:
        return await verify(archive, key)


def rewritten(file: Path, change: Callable[[list[str]], list[str]]) -> None:
    text = gzip.decompress(file.read_bytes()).decode()
    lines = change([line + "\n" for line in text.split("\n")[:-1]])
    file.write_bytes(gzip.compress("".join(lines).encode()))


@pytest.fixture
async def file(sealed: Journal, tmp_path: Path) -> Path:
    """An export of the sealed record with one event more, which is not sealed yet."""
    await sealed.note("d", 'not sealed: ä \u2028 \\ "quoted"')
    path = tmp_path / "record.gz"
    async with snapshot(sealed.superuser_dsn) as record:
        assert dict(await export(record, path, KEY.public)) == {"checkpoint": 2, "events": 10, "streams": 4}
    return path


async def test_an_exported_record_verifies_as_the_record_does(sealed: Journal, file: Path) -> None:
    assert await verified(file) == await sealed.verify()
    assert (await verified(file)).ok
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir() if path.name.endswith(".tmp")] == []
    with Archive(file) as archive:
        assert archive.header.key == KEY.public
        assert archive.header.schema[0] == "0001_pre_record"


async def test_another_key_is_not_the_one_that_signed(file: Path) -> None:
    verdict = await verified(file, OTHER_KEY.public)
    assert verdict.first is not None
    assert (verdict.first.position, verdict.first.kind) == (1, "checkpoint")


def _event(position: int) -> Callable[[str], bool]:
    return lambda line: line.startswith('{"events":') and json.loads(line)["events"]["position"] == position


CHANGES: dict[str, tuple[Callable[[list[str]], list[str]], int, str]] = {
    "a text": (lambda lines: [line.replace('"four"', '"f0ur"') for line in lines], 6, "changed"),
    "a time": (
        lambda lines: [line.replace("+00:00", "+01:00") if _event(3)(line) else line for line in lines],
        3,
        "changed",
    ),
    "a category": (
        lambda lines: [line.replace('"category":"side"', '"category":"sida"', 1) for line in lines],
        4,
        "changed",
    ),
    "a checkpoint": (
        lambda lines: [line.replace('upto\\":9', 'upto\\":8') for line in lines],
        5,
        "checkpoint",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_in_the_file_is_named(file: Path, what: str) -> None:
    change, position, kind = CHANGES[what]
    rewritten(file, change)
    verdict = await verified(file)
    assert verdict.first is not None
    assert (verdict.first.position, verdict.first.kind) == (position, kind)


async def test_a_row_that_was_taken_out_is_named_even_if_the_end_was_corrected(file: Path) -> None:
    def without(lines: list[str]) -> list[str]:
        return [line.replace('"events":10', '"events":9') for line in lines if not _event(5)(line)]

    rewritten(file, without)
    verdict = await verified(file)
    assert verdict.first is not None
    assert (verdict.first.position, verdict.first.kind) == (5, "removed")
    rewritten(file, lambda lines: [line.replace('"events":9', '"events":10') for line in lines])
    with pytest.raises(ArchiveError, match="as many rows"):
        await verified(file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: gzip.compress(b"\n".join(gzip.decompress(data).splitlines()[:-1]) + b"\n"),
        lambda data: gzip.compress(gzip.decompress(data).replace(b'{"events":', b'{"events";')),
        lambda data: gzip.compress(gzip.decompress(data).replace(b'"position":4', b'"position":"4"')),
        lambda data: gzip.compress(gzip.decompress(data).replace(b"autopilot-record", b"autopilot-recipe")),
        lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
        lambda data: b"",
        lambda data: b"no gzip at all",
    ],
)
async def test_a_damaged_file_is_refused(file: Path, damage: Callable[[bytes], bytes]) -> None:
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ArchiveError):
        await verified(file)


async def test_an_export_that_fails_leaves_no_file(sealed: Journal, tmp_path: Path) -> None:
    path = tmp_path / "record.gz"
    await sealed.tamper("alter table streams rename to rivers")
    with pytest.raises(Exception, match="streams"):
        async with snapshot(sealed.superuser_dsn) as record:
            await export(record, path, KEY.public)
    assert [one.name for one in tmp_path.iterdir() if one.name != "journal"] == []


async def test_a_stream_has_what_a_file_would_have_and_no_end_when_it_fails(
    sealed: Journal, tmp_path: Path
) -> None:
    whole, broken = io.BytesIO(), io.BytesIO()
    async with snapshot(sealed.superuser_dsn) as record:
        await export(record, whole, KEY.public)
    with pytest.raises(RuntimeError), writing(broken, KEY.public, ()):
        raise RuntimeError
    (tmp_path / "whole").write_bytes(whole.getvalue())
    (tmp_path / "broken").write_bytes(broken.getvalue())
    assert (await verified(tmp_path / "whole")).ok
    with pytest.raises(ArchiveError, match="it was cut off"):
        await verified(tmp_path / "broken")
