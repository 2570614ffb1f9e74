"""Supervises a set of children that depend on each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from autopilot.stack.child import Child, Keeper
from autopilot.stack.errors import PartFailedError
from autopilot.stack.liveness import LivenessPolicy
from autopilot.stack.logs import tail
from autopilot.stack.restart import RestartPolicy
from autopilot.stack.status import ProcessState, ProcessStatus
from autopilot.stack.watchdog import Watchdog
from autopilot.stack.zygote import Zygote


class Supervisor:
    """Keeps children running, each started after those it depends on and stopped before them."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        run_id: str,
        watchdog: Watchdog,
        on_change: Callable[[str, ProcessState], None],
        policy: RestartPolicy | None = None,
        liveness: LivenessPolicy | None = None,
        zygote: Zygote | None = None,
    ) -> None:
        self._keepers = {
            child.name: Keeper(
                child,
                run_id=run_id,
                watchdog=watchdog,
                policy=policy or RestartPolicy(),
                liveness=liveness or LivenessPolicy(),
                on_change=on_change,
                zygote=zygote,
            )
            for child in children
        }
        self._layers = _layers({child.name: child.depends_on for child in children})
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stop: asyncio.Task[None] | None = None

    def start(self, names: Iterable[str] | None = None) -> None:
        """Start these children (all, if none is named); one that was started already is left alone."""
        for name in names if names is not None else self._keepers:
            if name in self._tasks or self._stop is not None:
                continue
            keeper = self._keepers[name]
            dependencies = tuple(self._keepers[other] for other in keeper.child.depends_on)
            task = asyncio.get_running_loop().create_task(keeper.run(dependencies), name=f"keep-{name}")
            task.add_done_callback(partial(_report, keeper))
            self._tasks[name] = task

    async def wait_ready(self, name: str, timeout_s: float) -> None:
        """Wait until the child is ready; raises `PartFailedError` when it is given up or the time is over."""
        keeper = self._keepers[name]
        ready = asyncio.ensure_future(keeper.ready.wait())
        ended = asyncio.ensure_future(keeper.ended.wait())
        try:
            await asyncio.wait({ready, ended}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if keeper.ready.is_set():
                return
            reason = keeper.status.error or "stopped"
            if not keeper.ended.is_set():
                reason = f"not ready within {timeout_s:.0f} s"
            said = tail(keeper.child.log_file).rpartition("\n")[2]
            raise PartFailedError(name, f"{reason}: {said}" if said else reason, keeper.child.log_file)
        finally:
            ready.cancel()
            ended.cancel()

    def is_ready(self, name: str) -> bool:
        """Tell whether the child is ready now."""
        return self._keepers[name].ready.is_set()

    def statuses(self) -> dict[str, ProcessStatus]:
        """Describe every child as it is now."""
        return {name: keeper.status for name, keeper in self._keepers.items()}

    async def stop(self) -> None:
        """Stop all children, dependents first; further calls wait for the same stop, a cancelled one too."""
        if self._stop is None:
            self._stop = asyncio.get_running_loop().create_task(self._stop_all(), name="stop-children")
        await asyncio.shield(self._stop)

    async def _stop_all(self) -> None:
        for layer in reversed(self._layers):
            started = [name for name in layer if name in self._tasks]
            await asyncio.gather(*(self._keepers[name].stop() for name in started))
            if started:
                await asyncio.wait({self._tasks[name] for name in started})


def _report(keeper: Keeper, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        keeper.failed(error)


def _layers(depends_on: dict[str, tuple[str, ...]]) -> list[list[str]]:
    """Order names into layers, each depending on earlier ones only; raises `ValueError` on a cycle or stranger."""
    layers: list[list[str]] = []
    placed: set[str] = set()
    while len(placed) < len(depends_on):
        layer = [
            name for name, needs in depends_on.items() if name not in placed and placed.issuperset(needs)
        ]
        if not layer:
            raise ValueError(f"dependencies that cannot be met: {sorted(set(depends_on) - placed)}")
        layers.append(layer)
        placed.update(layer)
    return layers
