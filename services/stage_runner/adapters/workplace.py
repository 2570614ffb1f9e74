"""Builds what every run needs, and ties its ledger to the record."""

from __future__ import annotations

from typing import Any

from contracts.task import StageRequested
from libs.evidence.redaction import Redactor
from libs.evidence.store import EvidenceStore
from libs.forge.local import LocalForge
from libs.git.broker import Broker
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.stage_runner.adapters.stages.context import Ledger, Outcome, StageContext
from services.stage_runner.domain import EffectKind, Intend, Run, SettleEffect, run


class Workplace:
    """Shared by all runs of a replica."""

    def __init__(self, running: Running) -> None:
        config = running.config
        self._running = running
        self._broker = Broker(config.data)
        self._forge = LocalForge(config.data)
        secrets = (
            config.api_token,
            config.scrape_token,
            config.session_key,
            config.nats_password,
            config.postgres_dsn,
        )
        self._evidence = EvidenceStore(
            config.data / "evidence", Redactor([secret for secret in secrets if secret])
        )

    def context(self, request: StageRequested) -> StageContext:
        """Build a run's surroundings."""
        return StageContext(
            request=request,
            data_dir=self._running.config.data,
            broker=self._broker,
            evidence=self._evidence,
            forge=self._forge,
            ledger=self._ledger(request.run_id),
            now=self._running.clock.now,
            cache_dir=self._running.config.data / "cache" / "bases",
        )

    def _ledger(self, run_id: str) -> Ledger:
        async def intend(effect: str, kind: EffectKind, target: str, detail: str) -> None:
            wish = Intend(effect=effect, kind=kind, target=target, detail=detail)
            await self._running.perform(lambda work: work.decide(run, run_id, wish))

        async def settle(effect: str, outcome: Outcome, reference: str) -> None:
            wish = SettleEffect(effect=effect, outcome=outcome, reference=reference)
            await self._running.perform(lambda work: work.decide(run, run_id, wish))

        async def unknown() -> tuple[str, ...]:
            async def look(work: Work) -> Any:
                return await work.load(run, run_id)

            state: Run = await self._running.perform(look)
            return tuple(state.intended)

        return Ledger(intend, settle, unknown)
