"""The composition root of resolution."""

from contracts.catalogue import registry
from libs.evidence.redaction import Redactor
from libs.forge.local import LocalForge
from libs.runtime.running import Running
from libs.runtime.service import Consumer, Service
from services.resolution import handlers
from services.resolution.adapters.branch import Branches
from services.resolution.adapters.filing import Filing, file_incidents
from services.resolution.adapters.reporter import Reporter
from services.resolution.domain import incident, loop


async def assemble(running: Running) -> Filing:
    """Build what writes, tries and publishes incidents."""
    data = running.config.data
    reporter = Reporter(data, Redactor(running.config.secrets))
    return Filing(running, reporter, Branches(data, LocalForge(data)))


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
    workers=(file_incidents,),
)
