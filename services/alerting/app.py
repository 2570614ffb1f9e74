"""The alerting service's composition root."""

from __future__ import annotations

from contracts.catalogue import registry
from libs.resilience.breaker import Breaker
from libs.runtime.running import Running
from libs.runtime.service import Follower, Service
from services.alerting import api, handlers
from services.alerting.adapters.courier import AlertCourier
from services.alerting.adapters.log import LogSink
from services.alerting.adapters.pager import Pager
from services.alerting.adapters.posting import RESET_S
from services.alerting.adapters.watch import ConditionWatch
from services.alerting.adapters.webhook import Webhook
from services.alerting.domain.alert import alert
from services.alerting.domain.rules import PAGER
from services.alerting.ports import Sink


async def assemble(running: Running) -> AlertCourier:
    """Build the sinks that the configuration names; the log is always one."""
    config = running.config
    sinks: dict[str, Sink] = {"log": LogSink()}
    if key := config.config_pager_key:
        sinks[PAGER] = Pager(config.config_pager_url, key, Breaker("pager", reset_s=RESET_S))
    if url := config.config_webhook_url:
        sinks["webhook"] = Webhook(url, Breaker("webhook", reset_s=RESET_S), running.clock)
    return AlertCourier(running, sinks)


async def watch_conditions(running: Running) -> None:
    """Look at the record's conditions for as long as this process leads."""
    await ConditionWatch(running, handlers.raise_condition).run()


service = Service(
    name="alerting",
    registry=registry,
    owns=(alert,),
    follows=(Follower(handlers.raise_alert),),
    timers={"deliver": handlers.deliver, "tell_of_wait": handlers.tell_of_wait},
    assemble=assemble,
    workers=(watch_conditions,),
    routes=api.routes,
    gauges=api.open_alerts,
)
