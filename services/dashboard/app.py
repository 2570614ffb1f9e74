"""The dashboard's composition root."""

from contracts.catalogue import registry
from libs.runtime.service import Consumer, Service
from services.dashboard import handlers
from services.dashboard.api.parts import assemble
from services.dashboard.api.routes import let_clients_go, routes

service = Service(
    name="dashboard",
    registry=registry,
    # Under load a task's document is written once for many of its events; people do not see a fifth of a second.
    consumes=(Consumer(handlers.project, everything=True, batch=1_024, gather_s=0.2),),
    assemble=assemble,
    routes=routes,
    workers=(let_clients_go,),
    reads_dead_letters=True,
)
