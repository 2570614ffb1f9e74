"""Builds what every run needs, and ties its ledger to the record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

from contracts.message import Event, Unknown
from contracts.stage import EffectIntended, EffectKind
from contracts.task import RunRequest, run_id_of
from libs.evidence.redaction import Redactor
from libs.evidence.store import EvidenceStore
from libs.forge.hosting import hosting
from libs.git.broker import Broker
from libs.runtime.leadership import LEASE_S
from libs.runtime.running import NotLeaderError, Running
from services.stage_runner.adapters.stages.context import Effects, Ledger, Outcome, StageContext, holder_of
from services.stage_runner.adapters.tokens import Tokens
from services.stage_runner.domain import Intend, Run, SettleEffect, run


class Workplace:
    """Shared by all runs of a replica."""

    def __init__(self, running: Running) -> None:
        config = running.config
        self._running = running
        self.hosting = hosting(config)
        self._broker = Broker(config.data, credentials=self.hosting.credentials)
        self._redactor = Redactor([*config.secrets, *self.hosting.secrets])
        self._evidence = EvidenceStore(config.data / "evidence", self._redactor)

    def context(self, request: RunRequest) -> StageContext:
        """Build the surroundings of a run that was claimed. Raises NotLeaderError."""
        config, lease = self._running.config, self._running.lease
        if lease is None:
            raise NotLeaderError(
                f"the lease of {config.holder} is lost; {request.run_id} is left to its holder"
            )
        return StageContext(
            request=request,
            data_dir=config.data,
            broker=self._broker,
            evidence=self._evidence,
            forge_for=self.hosting.forge_for,
            redact=self._redactor.redact,
            ledger=self._ledger(request),
            tokens=Tokens(self._running, request),
            now=self._running.clock.now,
            cache_dir=config.data / "cache" / "bases",
            holder=holder_of(config.holder, lease.epoch),
            agent_command=config.config_agent_command,
        )

    def _ledger(self, request: RunRequest) -> Ledger:
        run_id, running = request.run_id, self._running
        synthetic = request.input.spec.synthetic

        async def intend(effect: str, kind: EffectKind, target: str, detail: str) -> None:
            wish = Intend(effect=effect, kind=kind, target=target, detail=detail)
            await running.perform(lambda work: work.decide(run, run_id, wish), synthetic=synthetic)
            # An intent that is recorded already appends nothing, so nothing has checked the epoch yet: a replica that
            # was paused past its lease must not reach the outside.
            lease = running.lease
            if lease is None or not await running.store.renew(lease.name, lease.epoch, LEASE_S):
                raise NotLeaderError(
                    f"the lease of {running.config.holder} is lost; {effect} is left to its holder"
                )

        async def settle(effect: str, outcome: Outcome, reference: str) -> None:
            wish = SettleEffect(effect=effect, outcome=outcome, reference=reference)
            await running.perform(lambda work: work.decide(run, run_id, wish), synthetic=synthetic)

        async def recorded() -> Effects:
            state: Run = await running.perform(lambda work: work.load(run, run_id))
            return Effects(unknown=tuple(state.intended), known=tuple(state.settled))

        async def meant(effect: str) -> tuple[str, ...]:
            found: dict[str, None] = {}
            async for event in self._publishing(request.task_id):
                if isinstance(event, EffectIntended) and event.effect == effect:
                    found[event.detail] = None
            return tuple(found)

        return Ledger(intend, settle, recorded, meant)

    async def _publishing(self, task_id: str) -> AsyncIterator[Event | Unknown]:
        """Read the streams of a task's runs of `pr`. Attempts and retries are numbered without a gap."""
        for attempt in count(1):
            for retry in count():
                name = f"run-{run_id_of(task_id, 'pr', attempt, retry)}"
                recorded = await self._running.store.read_stream(name)
                if not recorded and not retry:
                    return
                if not recorded:
                    break
                for one in recorded:
                    yield one.event
