"""Engine `command`: any program that edits a checkout, in the sandbox; what differs afterwards is its change.

The program works in a worktree of its own, where the task's set-up has run, and never sees the private clone: the
checkout's `.git` is a repository made inside the sandbox, so it may commit, rewrite or destroy history as it likes.
Nothing it prints or returns is believed.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import NoReturn

from contracts.policy import Policy
from contracts.task import Failure, RepoSpec
from libs.git.error import PatchError
from libs.git.mirror import Mirror
from libs.git.worktree import Worktree
from libs.sandbox import runner
from libs.sandbox.command import Command, Ended, Limits, Mount, Outcome
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.sandbox.interpreters import required_mounts
from libs.verification.environment import TREE, plain, surround
from libs.verification.types import RequestError
from services.stage_runner.adapters.engines.assignment import assignment
from services.stage_runner.adapters.engines.engine import Edit, Engine, Intent, Site
from services.stage_runner.adapters.engines.policy import policy_of
from services.stage_runner.adapters.stages.context import StageContext, StageError, fail

#: Where the program's standard input lies in the sandbox.
_INPUT = "/opt/assignment.md"
#: A repository for programs that ask git what they changed. `.git` is the private clone's link, which leads nowhere here.
_REPOSITORY = """rm -rf .git
if command -v git >/dev/null 2>&1; then
  export GIT_AUTHOR_NAME=Autopilot GIT_AUTHOR_EMAIL=autopilot@localhost
  export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
  git init -q . && git add -A && git commit -qm 'The base' --allow-empty
fi >/dev/null 2>&1
"""
#: Bytes of the program's last words that a failure quotes.
_QUOTED = 500


async def _intend(context: StageContext, repo: RepoSpec, base: str) -> Intent:
    policy = await policy_of(await context.mirror(repo), base, repo.name)
    _program(context, policy, repo)
    return Intent(scope=policy.change.within)


async def _edit(context: StageContext, repo: RepoSpec, site: Site) -> Edit:
    policy = await policy_of(site.mirror, site.base, repo.name)
    program = _program(context, policy, repo)
    path = await context.worktree(site.mirror, repo, site.base, purpose="agent")
    desk = site.mirror.worktree(path)
    assert desk is not None, "the worktree was made a moment ago"
    try:
        return await _work(context, repo, site, desk, policy, program)
    except RequestError as error:
        fail("impossible", "not_runnable", f"{repo.name}: {error}", repo.name)
    except SandboxUnavailableError as error:
        fail("environmental", "no_sandbox", str(error), repo.name)
    except SandboxError as error:
        fail("transient", "sandbox_failed", str(error), repo.name)


async def _work(
    context: StageContext, repo: RepoSpec, site: Site, desk: Worktree, policy: Policy, program: str
) -> Edit:
    budget = context.input.spec.budget
    before = site.base
    if repo.setup:
        outcome, _ = await _run(context, repo, desk.path, repo.setup, "setup", budget.wall_s)
        _within_memory("the set-up", outcome, context, repo)
        if outcome.exit_code != 0:
            fail("persistent", "setup_failed", f"the set-up {repo.setup!r} {_how(outcome)}", repo.name)
        # What the set-up leaves is no part of the change.
        before = await desk.commit("What the set-up left", when=context.now()) or site.base
    wall_s = min(policy.agent.wall_s, budget.wall_s)
    text = assignment(context.input, repo, policy.change.within)
    outcome, said = await _run(
        context,
        repo,
        desk.path,
        f"{_REPOSITORY}({program}\n) < {_INPUT}",
        "agent",
        wall_s,
        text,
        title=_short(program),
    )
    await asyncio.to_thread(_forget_history, desk.path)
    _within_memory("the agent", outcome, context, repo)
    if outcome.ended != "exited":
        _failed(
            f"the agent was stopped: {outcome.ended} limit reached after {outcome.duration_s:.0f} s", repo
        )
    after = await desk.commit("What the agent did", when=context.now())
    if after is None:
        _failed(f"the agent {_how(outcome)} and changed nothing; it said last: {said}", repo)
    await _carry_over(site.mirror, before, after, site.worktree, repo)
    ended = "" if outcome.exit_code == 0 else f"; it {_how(outcome)}"
    return Edit(remarks=(f"made by the program `{_short(program)}` in {outcome.duration_s:.0f} s{ended}",))


async def _run(
    context: StageContext,
    repo: RepoSpec,
    tree: Path,
    script: str,
    name: str,
    wall_s: float,
    text: str = "",
    title: str = "",
) -> tuple[Outcome, str]:
    """Run a script in the worktree; returns how it ended and its last words. What it printed is kept as evidence."""
    surroundings = surround(repo.env)
    given, output = tree.with_name(f"{tree.name}.{name}.in"), tree.with_name(f"{tree.name}.{name}.log")
    await asyncio.to_thread(given.write_text, text)
    outcome = await runner.run(
        Command(
            script=script,
            title=title,
            cwd=TREE,
            env=plain(surroundings.env),
            mounts=(
                Mount(source=str(tree), target=TREE, writable=True),
                Mount(source=str(given), target=_INPUT),
                *await asyncio.to_thread(required_mounts, surroundings.directories),
            ),
            limits=Limits(wall_s=wall_s, memory_mb=context.input.spec.budget.memory_mb),
            cookie=context.cookie,
        ),
        output,
    )
    kept = await context.keep(f"{repo.name}/{name}.log", output)
    said = await asyncio.to_thread(context.evidence.read, kept.digest, max(kept.size, 1))
    return outcome, said[-_QUOTED:].decode(errors="replace").strip() or "nothing"


async def _carry_over(mirror: Mirror, before: str, after: str, worktree: Worktree, repo: RepoSpec) -> None:
    try:
        await worktree.apply(await mirror.diff(before, after))
    except PatchError as error:
        detail = (
            f"the agent's change rests on files that the set-up makes, so it cannot be taken over: {error}"
        )
        fail("persistent", "agent_failed", detail, repo.name)


def _within_memory(who: str, outcome: Outcome, context: StageContext, repo: RepoSpec) -> None:
    """End the stage if the ceiling was reached: the same program would reach it again."""
    if outcome.ended is Ended.MEMORY:
        ceiling, task = context.input.spec.budget.memory_mb, context.request.task_id
        detail = (
            f"{who} was stopped at {outcome.peak_memory_mb:.0f} MB: budget.memory_mb is {ceiling};"
            f" autopilot retry {task} --memory MB raises it"
        )
        fail("impossible", "memory_exceeded", detail, repo.name)


def _forget_history(tree: Path) -> None:
    """Remove the repository that the program saw, whatever it has made of it."""
    place = tree / ".git"
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _program(context: StageContext, policy: Policy, repo: RepoSpec) -> str:
    if program := policy.agent.command or context.agent_command:
        return program
    fail(
        "impossible",
        "no_agent",
        f"engine command needs a program: set agent.command in the policy file of {repo.name}, or"
        " AUTOPILOT_CONFIG_AGENT_COMMAND for the whole installation",
        repo.name,
    )


def _failed(detail: str, repo: RepoSpec) -> NoReturn:
    raise StageError(Failure(kind="persistent", code="agent_failed", detail=detail, repo=repo.name))


def _how(outcome: Outcome) -> str:
    return (
        f"exited with {outcome.exit_code}" if outcome.ended == "exited" else f"was stopped: {outcome.ended}"
    )


def _short(program: str) -> str:
    line = " ".join(program.split())
    return line if len(line) <= 80 else line[:79] + "…"


command = Engine(approach="let the configured program edit a checkout", intend=_intend, edit=_edit)
