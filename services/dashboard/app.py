"""The dashboard's composition root."""

from contracts.catalogue import registry
from libs.runtime.projection import Projection
from libs.runtime.service import Follower, Service
from services.dashboard import handlers
from services.dashboard.api.parts import assemble
from services.dashboard.api.routes import let_clients_go, routes

service = Service(
    name="dashboard",
    registry=registry,
    # Under load a task's document is written once for many of its events; people do not see a fifth of a second.
    follows=(Follower(handlers.project, everything=True),),
    projection=Projection(
        version=2,
        views=("active", "alert", "card", "disk", "incident", "limit", "mode", "open_alert", "task"),
        fold=handlers.project,
    ),
    assemble=assemble,
    routes=routes,
    # People's questions may take seconds; neither the projection nor the lease waits for them.
    connections=4,
    workers=(let_clients_go,),
    reads_dead_letters=True,
    views=("active", "alert", "card", "disk", "incident", "limit", "mode", "open_alert", "task"),
)
