"""The scheduler's composition root."""

from contracts.catalogue import registry
from libs.runtime.running import Running
from libs.runtime.service import Consumer, Service
from services.scheduler.adapters.oversight import Oversight, require_room
from services.scheduler.api.metrics import token_gauges
from services.scheduler.api.routes import routes
from services.scheduler.domain.admission import admission
from services.scheduler.domain.aside import aside
from services.scheduler.domain.budget import budget
from services.scheduler.domain.claims import claims
from services.scheduler.domain.mode import mode
from services.scheduler.domain.stall import stall
from services.scheduler.domain.walk import task
from services.scheduler.handlers import news, wishes


async def assemble(running: Running) -> None:
    """Refuse limits with which nothing could ever start. Raises ConfigError."""
    require_room(running.config)


async def oversee(running: Running) -> None:
    """Look at memory and slots for as long as this process leads."""
    await Oversight(running, wishes.oversee).run()


service = Service(
    name="scheduler",
    registry=registry,
    owns=(task, admission, mode, aside, budget, claims, stall),
    consumes=(Consumer(news.advance_task), Consumer(news.plan_retry)),
    timers={
        "retry_stage": news.retry_stage,
        "probe": news.probe,
        "wake": news.wake,
        "lapse": news.lapse,
        "call_back": news.call_back,
        "admit": news.admit,
    },
    assemble=assemble,
    workers=(oversee,),
    routes=routes,
    gauges=token_gauges,
    one_at_a_time=True,
)
