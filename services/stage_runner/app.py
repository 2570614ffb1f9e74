"""The composition root of the stage-runner."""

from contracts.catalogue import registry
from libs.runtime.running import Running
from libs.runtime.service import Consumer, Hearer, Service
from services.stage_runner import handlers
from services.stage_runner.adapters.executor import BackgroundExecutor
from services.stage_runner.adapters.resumption import resume_orphaned_runs
from services.stage_runner.adapters.stages.table import carry
from services.stage_runner.adapters.workplace import Workplace
from services.stage_runner.domain import run


async def assemble(running: Running) -> BackgroundExecutor:
    """Build the executor with its workplace."""
    workplace = Workplace(running)
    return BackgroundExecutor(running, workplace.context, carry)


service = Service(
    name="stage-runner",
    registry=registry,
    owns=(run,),
    consumes=(
        Consumer(handlers.run_stage, room=BackgroundExecutor.free),
        Consumer(handlers.stop_stage),
        Consumer(handlers.withdraw),
    ),
    hears=(
        Hearer(handlers.heed_stop),
        Hearer(handlers.heed_tokens),
        Hearer(handlers.heed_mode, in_force="mode-system"),
    ),
    assemble=assemble,
    workers=(resume_orphaned_runs,),
    lease_per_replica=True,
)
