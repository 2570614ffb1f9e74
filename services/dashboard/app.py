"""The dashboard's composition root."""

from contracts.catalogue import registry
from libs.runtime.projection import Projection
from libs.runtime.service import Consumer, Service
from services.dashboard import handlers
from services.dashboard.api.parts import assemble
from services.dashboard.api.routes import let_clients_go, routes

service = Service(
    name="dashboard",
    registry=registry,
    consumes=(Consumer(handlers.project, everything=True),),
    projection=Projection(
        version=1,
        views=("active", "alert", "card", "disk", "incident", "limit", "mode", "open_alert", "task"),
        fold=handlers.project,
    ),
    assemble=assemble,
    routes=routes,
    workers=(let_clients_go,),
    reads_dead_letters=True,
    views=("active", "alert", "card", "disk", "incident", "limit", "mode", "open_alert", "task"),
)
