"""The composition root of resolution."""

from contracts.catalogue import registry
from libs.runtime.running import Running
from libs.runtime.service import Consumer, Service
from services.resolution import handlers
from services.resolution.adapters.reporter import Reporter
from services.resolution.domain import incident, loop


async def assemble(running: Running) -> Reporter:
    """Build the reporter that writes incident directories."""
    return Reporter(running.config.data)


service = Service(
    name="resolution",
    registry=registry,
    owns=(loop, incident),
    consumes=(
        Consumer(handlers.resolve_failure),
        Consumer(handlers.close_loop),
        Consumer(handlers.file_incident),
    ),
    assemble=assemble,
)
