"""A stage-runner over twins whose stages can be carried out one by one, on real git and a real forge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from contracts.stage import StageOutput
from contracts.task import (
    RepoChange,
    RunRequest,
    Stage,
    StageInput,
    StageRequested,
    TaskSpec,
    WithdrawalRequested,
)
from libs.forge.local import LocalForge
from libs.forge.port import PullRequest
from libs.git.broker import Broker
from libs.git.mirror import Mirror
from libs.testing.world import World
from services.stage_runner.adapters.stages import implement, monitor, plan, pr, spec, withdrawal
from services.stage_runner.adapters.stages.context import StageContext, StageError
from services.stage_runner.adapters.workplace import Workplace
from services.stage_runner.app import service
from services.stage_runner.domain import Claim, Fail, Run, run, which_of
from tests.system.shop import Shop

CARRY = {
    "spec": spec.carry,
    "plan": plan.carry,
    "implement": implement.carry,
    "pr": pr.carry,
    "monitor": monitor.carry,
    "withdrawal": withdrawal.carry,
}


class Bench:
    """One task's stages, carried out by hand."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "data"
        self.shop = Shop(root / "the user's shop")
        self.world = World((service,), str(self.data))
        self.forge = LocalForge(self.data)

    async def start(self) -> None:
        """Start the stage-runner."""
        await self.world.start("stage-runner")

    async def mirror(self) -> Mirror:
        """The private clone."""
        return await Broker(self.data).mirror(self.shop.url)

    def withdrawal(self, given: StageInput) -> WithdrawalRequested:
        """What the scheduler asks for when the task was cancelled."""
        return WithdrawalRequested(task_id="t1", run_id="t1-withdrawal-1", attempt=1, input=given)

    def request(self, stage: Stage, given: StageInput, attempt: int = 1, retry: int = 0) -> StageRequested:
        """What the scheduler would ask for."""
        suffix = f"-{retry}" if retry else ""
        run_id = f"t1-{stage}-{attempt}{suffix}"
        return StageRequested(
            task_id="t1", run_id=run_id, stage=stage, attempt=attempt, retry=retry, input=given
        )

    async def context(self, request: RunRequest) -> StageContext:
        """Claim a run and build its surroundings, anew each time as after a crash."""
        running = self.world.running["stage-runner"]
        wish = Claim(which=which_of(request), replica="stage-runner-1", epoch=1)
        await running.perform(lambda work: work.decide(run, request.run_id, wish))
        return Workplace(running).context(request)

    async def carry(self, request: RunRequest) -> StageOutput:
        """Carry a stage out."""
        return await CARRY[request.stage](await self.context(request))

    async def failure(self, request: RunRequest) -> StageError:
        """Carry a stage out that has to fail, and end its run."""
        try:
            await self.carry(request)
        except StageError as error:
            end = Fail(failure=error.failure, output=error.output, evidence=(), duration_s=1.0)
            await self.world.perform("stage-runner", lambda work: work.decide(run, request.run_id, end))
            return error
        raise AssertionError(f"{request.run_id} did not fail")

    async def ledger(self, run_id: str) -> Run:
        """What the record holds of a run."""
        state: Run = await self.world.perform("stage-runner", lambda work: work.load(run, run_id))
        return state

    def task(self, **repo: Any) -> TaskSpec:
        """The task; the text of its patch does not matter here."""
        return self.shop.task("none", **repo)

    async def change(self, text: str) -> RepoChange:
        """Make a commit as `implement` does."""
        mirror = await self.mirror()
        base = await mirror.resolve("main")
        place = self.data / "work" / "t1" / "by-hand"
        worktree = await mirror.add_worktree(place, base)
        (place / "wide.py").write_text(text)
        commit = await worktree.commit(text, when=self.world.clock.now())
        await mirror.remove_worktree(place)
        assert commit is not None
        return RepoChange(
            repo="wide", base_commit=base, commit=commit, tree=await mirror.tree(commit), files=("wide.py",)
        )

    async def published(self, text: str = "one\n", **repo: Any) -> StageInput:
        """Open a pull request and return what `monitor` gets then."""
        given = StageInput(spec=self.task(**repo), changes=(await self.change(text),))
        output = await self.carry(self.request("pr", given))
        return msgspec.structs.replace(given, pull_requests=output.pull_requests)

    async def pulls(self) -> tuple[PullRequest, ...]:
        """Every pull request there is."""
        return await self.forge.list(self.shop.url)

    async def move_branch(self, text: str) -> str:
        """Let somebody else push to the task's branch."""
        commit = (await self.change(text)).commit
        mirror, target = await self.mirror(), await self.forge.remote(self.shop.url)
        before = await self.forge.branch_head(self.shop.url, "autopilot/t1")
        await mirror.push(target, commit, "refs/heads/autopilot/t1", expected=before)
        return commit
