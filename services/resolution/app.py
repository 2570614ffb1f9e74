"""The composition root of resolution."""

from contracts.catalogue import registry
from libs.evidence.redaction import Redactor
from libs.forge.hosting import hosting
from libs.git.broker import Broker
from libs.runtime.running import Running
from libs.runtime.service import Consumer, Follower, Hearer, Service
from services.resolution import handlers
from services.resolution.adapters.branch import Branches
from services.resolution.adapters.filing import Filing, file_incidents
from services.resolution.adapters.reporter import Reporter
from services.resolution.domain import incident, loop


async def assemble(running: Running) -> Filing:
    """Build what writes, tries and publishes incidents."""
    config = running.config
    hosts = hosting(config)
    reporter = Reporter(config.data, Redactor([*config.secrets, *hosts.secrets]))
    branches = Branches(Broker(config.data, credentials=hosts.credentials), hosts.forge_for)
    return Filing(running, reporter, branches)


service = Service(
    name="resolution",
    registry=registry,
    owns=(loop, incident),
    consumes=(Consumer(handlers.resolve_failure), Consumer(handlers.file_incident)),
    follows=(Follower(handlers.close_loop),),
    hears=(Hearer(handlers.heed_mode, in_force="mode-system"),),
    assemble=assemble,
    workers=(file_incidents,),
)
