"""Evidence that grows old, and evidence while the disk is full."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from contracts.workspace import ArtifactCompressed
from libs.evidence.store import EvidenceStore
from services.cleanup.adapters.diskwatch import DiskWatch
from services.cleanup.handlers import AGAIN_S
from tests.integration.cleanup.scene import Scene

HOUR_S = 3_600
LOG = b"a line of a log\n" * 500


class Usage(NamedTuple):
    used: int
    free: int


def stored(scene: Scene, digest: str) -> Path:
    return scene.data_dir / "evidence" / digest[:2] / digest


def watch(scene: Scene, *percents: int) -> DiskWatch:
    """Make a watch that measures these values one after the other."""
    left = iter(percents)

    def measure(_: Path) -> Usage:
        used = next(left)
        return Usage(used=used, free=100 - used)

    return DiskWatch(scene.world.running["cleanup"], scene.evidence, measure)


async def test_evidence_is_compressed_an_hour_after_its_event_and_not_before(scene: Scene) -> None:
    digest = scene.evidence.put_bytes(LOG)
    await scene.record(scene.completed(digest))
    await scene.world.pass_time(HOUR_S - 1)
    assert stored(scene, digest).exists()
    await scene.world.pass_time(1)
    assert not stored(scene, digest).exists()
    assert scene.evidence.read(digest) == LOG
    (compressed,) = await scene.of_type("artifact_compressed")
    assert (compressed.digest, compressed.before) == (digest, len(LOG))
    assert compressed.after < compressed.before


async def test_evidence_of_two_events_is_compressed_once(scene: Scene) -> None:
    digest = scene.evidence.put_bytes(LOG)
    await scene.record(scene.completed(digest), scene.completed(digest, task_id="t2"))
    await scene.world.pass_time(HOUR_S)
    await scene.record(scene.completed(digest, task_id="t3"))
    await scene.world.pass_time(2 * HOUR_S)
    assert len(await scene.of_type("artifact_compressed")) == 1


async def test_a_crash_between_the_file_and_its_record_is_made_good(scene: Scene) -> None:
    digest = scene.evidence.put_bytes(LOG)
    await scene.record(scene.completed(digest))
    sizes = scene.evidence.compress(digest)  # as by a process that died before it could record it
    await scene.world.crash("cleanup")
    await scene.world.start("cleanup")
    await scene.world.pass_time(HOUR_S)
    (compressed,) = await scene.of_type("artifact_compressed")
    assert (compressed.before, compressed.after) == sizes


async def test_damaged_and_missing_evidence_is_left_alone_and_holds_nothing_up(scene: Scene) -> None:
    damaged, whole = scene.evidence.put_bytes(b"right"), scene.evidence.put_bytes(LOG)
    stored(scene, damaged).write_bytes(b"wrong")
    await scene.record(scene.completed(damaged, whole, "0" * 64, "../../outside"))
    await scene.world.pass_time(HOUR_S)
    assert [event.digest for event in await scene.of_type("artifact_compressed")] == [whole]
    assert stored(scene, damaged).read_bytes() == b"wrong"
    assert await scene.world.store.next_timer("cleanup") is None


async def test_a_disk_that_fails_is_tried_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = scene.evidence.put_bytes(LOG)
    await scene.record(scene.completed(digest))
    store = scene.world.running["cleanup"].parts.evidence

    def full(_: str) -> tuple[int, int] | None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "compress", full)
        await scene.world.pass_time(HOUR_S)
    assert await scene.of_type("artifact_compressed") == []
    await scene.world.pass_time(AGAIN_S)
    assert len(await scene.of_type("artifact_compressed")) == 1


async def test_simulated_evidence_is_compressed_but_never_counted(scene: Scene) -> None:
    digest = scene.evidence.put_bytes(LOG)
    await scene.record(scene.completed(digest), synthetic=True)
    await scene.world.pass_time(HOUR_S)
    assert scene.evidence.stat(digest).compressed
    assert await scene.of_type("artifact_compressed") == []


async def test_a_full_disk_is_an_event_and_makes_all_evidence_small_at_once(scene: Scene) -> None:
    digests = {scene.evidence.put_bytes(LOG + bytes([number])) for number in range(3)}
    watching = watch(scene, 89, 90, 89, 75, 89)
    await watching.step()
    assert await scene.world.events() == []
    await watching.step()
    assert {event.digest for event in await scene.of_type("artifact_compressed")} == digests
    assert not any(scene.evidence.uncompressed())
    later = scene.evidence.put_bytes(b"written under pressure")
    await watching.step()
    assert scene.evidence.stat(later).compressed
    await watching.step()
    await watching.step()
    types = [event.type for event in await scene.world.events()]
    assert types == ["disk_pressure_raised", *["artifact_compressed"] * 4, "disk_pressure_cleared"]


async def test_pressure_outlives_a_crash(scene: Scene) -> None:
    await watch(scene, 95).step()
    await scene.world.crash("cleanup")
    await scene.world.start("cleanup")
    await watch(scene, 95).step()
    await watch(scene, 70).step()
    types = [event.type for event in await scene.world.events()]
    assert types == ["disk_pressure_raised", "disk_pressure_cleared"]


async def test_what_was_compressed_under_pressure_is_recorded_once(scene: Scene) -> None:
    digest = scene.evidence.put_bytes(LOG)
    await scene.record(scene.completed(digest))
    await watch(scene, 95).step()
    await scene.world.pass_time(HOUR_S)
    (compressed,) = await scene.of_type("artifact_compressed")
    assert isinstance(compressed, ArtifactCompressed)


async def test_damage_does_not_stop_the_making_of_room(scene: Scene) -> None:
    damaged, whole = scene.evidence.put_bytes(b"right"), scene.evidence.put_bytes(LOG)
    stored(scene, damaged).write_bytes(b"wrong")
    await watch(scene, 95).step()
    assert (scene.evidence.stat(whole).compressed, scene.evidence.stat(damaged).compressed) == (True, False)


async def test_a_symlink_among_the_evidence_leads_nowhere(scene: Scene, tmp_path: Path) -> None:
    outside = EvidenceStore(tmp_path / "outside")
    digest = outside.put_bytes(b"of somebody else")
    target = tmp_path / "outside" / digest[:2] / digest
    stored(scene, digest).parent.mkdir(parents=True)
    stored(scene, digest).symlink_to(target)
    await scene.record(scene.completed(digest))
    await watch(scene, 95).step()
    await scene.world.pass_time(HOUR_S)
    assert target.read_bytes() == b"of somebody else"
    assert await scene.of_type("artifact_compressed") == []
