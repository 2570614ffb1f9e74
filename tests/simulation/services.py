"""The seven services as the product composes them; only what would leave the process is a twin.

Real: handlers, deciders, projections, the executor of runs and their resumption, the ledger of effects, stage `pr`,
engine `noop`, the courier of alerts, the filing of incidents, the disk watch. Twins: the work of the other stages
(`tests/system/twin.py`), git and forge, the pager, the files of incidents, the gauge of the disk.
"""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from pathlib import Path
from typing import Any

import msgspec

from contracts.receipt import Problem
from contracts.resolution import IncidentOpened, Reproduction
from contracts.stage import StageOutput
from contracts.task import Failure
from libs.evidence.store import EvidenceStore
from libs.runtime.running import Running
from libs.runtime.service import Service
from services.alerting.adapters.courier import AlertCourier
from services.alerting.ports import DeliveryError, Notice
from services.cleanup.adapters.diskwatch import DiskWatch
from services.cleanup.ports import Parts
from services.resolution.adapters.branch import Place
from services.resolution.adapters.filing import Filing
from services.resolution.adapters.reporter import Written
from services.stage_runner.adapters import resumption
from services.stage_runner.adapters.executor import BackgroundExecutor
from services.stage_runner.adapters.stages import noop, pr, withdrawal
from services.stage_runner.adapters.stages.context import StageContext, StageError
from services.stage_runner.adapters.workplace import Workplace
from tests.simulation.forge import ShakyBroker, ShakyForge
from tests.simulation.process import Process, present
from tests.system.twin import honest, naming, verification
from tests.system.walking import SERVICES

_Usage = namedtuple("_Usage", "used free")
_PROBLEM = Problem(code="simulated", detail="the task asks for it")

# No process is ever started here, so none is left behind; looking through /proc for them takes longer than a run.
resumption.sweep = lambda *cookies: None  # type: ignore[assignment]


def services(batch: int) -> tuple[Service, ...]:
    """Return all seven; each consumer and follower takes so many messages at once at most."""
    changes: dict[str, dict[str, Any]] = {
        "stage-runner": {"assemble": _stage_runner},
        "resolution": {"assemble": _resolution},
        "alerting": {"assemble": _alerting},
        "cleanup": {"assemble": _cleanup, "workers": (_watch_disk,)},
    }
    return tuple(
        dataclasses.replace(
            service,
            consumes=tuple(dataclasses.replace(each, batch=batch) for each in service.consumes),
            follows=tuple(dataclasses.replace(each, batch=batch) for each in service.follows),
            **changes.get(service.name, {}),
        )
        for service in SERVICES
    )


async def _stage_runner(running: Running) -> BackgroundExecutor:
    process = present()
    workplace = Workplace(running)
    forge = ShakyForge(process)
    workplace._broker = ShakyBroker(forge)  # type: ignore[assignment]
    workplace.hosting = msgspec.structs.replace(workplace.hosting, forge_for=lambda _: forge)
    return BackgroundExecutor(running, workplace.context, carry, process.world.loop.time)


async def carry(context: StageContext) -> StageOutput:
    """Carry out a stage: simulated tasks as the product does, the others from what their body says."""
    request = context.request
    simulated = request.input.spec.engine == "noop"
    await present().world.work()
    for line in request.input.spec.body.splitlines():
        match line.split():
            case ["stumble", stage, times] if stage == request.stage and request.retry < int(times):
                raise StageError(Failure(kind="transient", code="simulated", detail=f"{stage} stumbles"))
            case _ if simulated:
                continue
            case ["work", stage, _] if stage == request.stage:
                await noop.carry(context)
            case ["fail", stage, times] if stage == request.stage and request.attempt <= int(times):
                raise StageError(Failure(kind="persistent", code="simulated", detail=f"{stage} fails"))
            case ["reject", times] if request.stage == "verify" and request.attempt <= int(times):
                return StageOutput(verifications=(verification(problems=(_PROBLEM,)),))
            case _:
                pass
    if simulated:
        return await noop.carry(context)
    if request.stage == "pr":
        return await pr.carry(context)
    if request.stage == "withdrawal":
        return await withdrawal.carry(context)
    # Half of them mean to change the same file, and go one after the other.
    shares = request.stage == "plan" and len(request.input.spec.body) % 2
    return naming(honest(request), "wide.py") if shares else honest(request)


class _Reporter:
    """Writes nothing."""

    def __init__(self, data: Path) -> None:
        self._data = data.absolute()

    async def write(self, incident: IncidentOpened, history: Any = ()) -> Written:
        return Written(
            path=self._data / "incidents" / incident.incident_id,
            message="",
            files=(),
            reproduction=Reproduction(gave="not_tried", detail="simulated"),
        )


class _Branches:
    """Pushes nothing."""

    async def commit(self, *_: Any) -> Place:
        return Place(unpublished="simulated")

    async def push(self, *_: Any) -> tuple[str, str]:
        return "", ""


async def _resolution(running: Running) -> Filing:
    return Filing(running, _Reporter(running.config.data), _Branches())  # type: ignore[arg-type]


class Pager:
    """Tells people; what it was asked is known to the world, whether it answered or not."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def tell(self, notice: Notice) -> None:
        world = self._process.world
        await world.way(self._process)
        fails = world.dice.random() < world.faults.outside
        if not fails or world.dice.random() < 0.5:
            world.trace.tell(self._process.name, f"pages {notice.alert_id}")
            world.paged[notice.alert_id] += 1
        if fails:
            raise DeliveryError("no answer", unknown=True)


async def _alerting(running: Running) -> AlertCourier:
    return AlertCourier(running, {"webhook": Pager(present())})


class _Workspaces:
    """Removes nothing."""

    async def remove(self, task_id: str, ended: int) -> int | None:
        return 0


async def _cleanup(running: Running) -> Parts:
    return Parts(evidence=EvidenceStore(running.config.data / "evidence"), workspaces=_Workspaces())


async def _watch_disk(running: Running) -> None:
    """Watch a disk that is full now and then."""
    world = present().world
    await DiskWatch(
        running, running.parts.evidence, lambda _: _Usage(world.disk_used, 100 - world.disk_used)
    ).run()
