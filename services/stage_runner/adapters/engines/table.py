"""Which engine carries which name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from services.stage_runner.adapters.engines.command import command
from services.stage_runner.adapters.engines.engine import Engine
from services.stage_runner.adapters.engines.patch import patch
from services.stage_runner.adapters.engines.repair import repair
from services.stage_runner.adapters.stages.context import StageContext, fail

ENGINES: Mapping[str, Engine] = MappingProxyType({"command": command, "patch": patch, "repair": repair})


def engine_of(context: StageContext) -> Engine:
    """Return the engine of a run's task. Ends the stage where this release has none of that name."""
    name = context.input.spec.engine
    if name not in ENGINES:
        fail("impossible", "no_engine", f"engine {name!r} is not part of this release")
    return ENGINES[name]
