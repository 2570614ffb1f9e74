"""A system in full swing: one task in each situation that a person may meet."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from contracts.admission import LimitChanged
from contracts.alert import AlertRaised, AlertResolved
from contracts.mode import ModeChanged
from contracts.receipt import Problem
from contracts.task import (
    MonitorWaitStarted,
    TaskCancelled,
    TaskCancelRequested,
    TaskParked,
)
from contracts.workspace import DiskPressureCleared, DiskPressureRaised, WorkspaceRemoved
from libs.evidence.store import EvidenceStore
from tests.integration.dashboard.history import HOSTILE, Life
from tests.integration.dashboard.world import Pen, World

BROKEN = (
    Problem(
        code="test_not_passing",
        detail="tests/test_allocation.py::test_remainder_goes_to_the_first passed on the base and fails now",
    ),
)


async def scenes_in(data: Path) -> World:
    """Make a world in full swing, recorded and folded."""
    world = World(data)
    await world.open()
    await record_scenes(world.pen, data)
    await world.deliver()
    return world


async def record_scenes(pen: Pen, data: Path) -> None:
    """Record ten tasks: done, given up, in three stages, failed, parked, queued, cancelled, hostile and simulated."""
    evidence = EvidenceStore(data / "evidence")

    def life(task_id: str, title: str, **spec: object) -> Life:
        return Life(pen, evidence, task_id, title, **spec)

    await pen.write(LimitChanged(max_concurrent=6, actor="api"))
    await pen.write(ModeChanged(mode="minimal", before="normal", actor="ada", reason="reviewer is away"))
    await pen.write(ModeChanged(mode="normal", before="minimal", actor="ada", reason="reviewer is back"))
    await pen.write(DiskPressureRaised(volume="data", used_percent=91.0, free_bytes=9_000_000_000))
    await pen.write(DiskPressureCleared(volume="data", used_percent=71.0, free_bytes=29_000_000_000))

    done = life(
        "t-done", "round half to even in Money.split", body="0.125 is rounded up; it has to go to 0.12."
    )
    await done.until("monitor")
    await done.passed("monitor")
    await done.done()
    await done.write(WorkspaceRemoved(task_id="t-done", freed=1_234_567))

    wrong = life("t-wrong", "allocate remainders to the last party")
    await wrong.until("verify")
    await wrong.passed("verify", 3.5, BROKEN)
    incident_id = await wrong.gave_up("verify", "engine patch has no other candidate", BROKEN)
    folder = data / "incidents" / incident_id
    folder.mkdir(parents=True)
    (folder / "reproduce.sh").write_text("#!/bin/sh\nset -eu\ngit clone ledgerline.bundle work\n")
    (folder / "report.json").write_text('{"problems": ["test_not_passing"]}')

    broken = life("t-broken", "statement totals in the account's own currency", priority="urgent")
    await broken.until("implement")
    await broken.failed("implement", "patch_does_not_apply", "ledgerline/statement.py has no line 112")
    verifying = life("t-verifying", "parse periods like 2024-W07")
    await verifying.until("verify")
    await verifying.started("verify")

    refused = life("t-refused", "drop Python 3.8 from the table printer")
    await refused.until("plan")
    await refused.started("plan")

    parked = life("t-parked", "negative amounts in the CSV import")
    await parked.until("review")
    await parked.write(
        TaskParked(
            task_id="t-parked",
            code="no_quorum",
            reason="gate 4 reached no quorum in 3 rounds",
            owner="operator",
            wake_up="autopilot retry t-parked",
        )
    )

    watched = life("t-watched", "exchange rates per day")
    await watched.until("monitor")
    await watched.passed("monitor")
    now = pen.clock.now()
    await watched.write(
        MonitorWaitStarted(
            task_id="t-watched", until=now + timedelta(hours=1), next_probe=now + timedelta(minutes=5)
        )
    )

    await life("t-queued", "use exchange rates in statements", depends_on=("t-watched",)).submitted()
    await life("t-hostile", HOSTILE, body=HOSTILE, priority="low").submitted()

    cancelled = life("t-cancelled", "rewrite everything in one file")
    await cancelled.submitted()
    await cancelled.write(TaskCancelRequested(task_id="t-cancelled", actor="ada", reason="not now"))
    await cancelled.write(TaskCancelled(task_id="t-cancelled", actor="ada", reason="not now"))

    await life("t-synthetic", "load test 17", engine="noop", synthetic=True).until("implement")

    await pen.write(
        AlertRaised(
            alert_id="a-disk",
            rule="disk_pressure",
            severity="warning",
            summary="volume data is 91 % full",
            event_id="",
        )
    )
    await pen.write(AlertResolved(alert_id="a-disk", reason="71 % full"))
