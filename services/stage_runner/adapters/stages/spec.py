"""Stage `spec`: what the task asks for, on which commits, how risky it looks, and what is unclear."""

from __future__ import annotations

from contracts.stage import StageOutput
from contracts.task import BaseRef, RepoSpec, RiskClass, Specification
from libs.forge.error import ForgeError
from libs.git.error import GitError, MergeConflictError, UnknownRevisionError
from libs.git.mirror import Mirror
from services.stage_runner.adapters.engines.patch import text_for, touched
from services.stage_runner.adapters.stages.context import StageContext, forge_failure, git_failure

#: Files and lines from which a change counts as medium or high risk, and places that are high risk by themselves.
MEDIUM_FILES, HIGH_FILES = 6, 20
MEDIUM_LINES, HIGH_LINES = 200, 800
_SENSITIVE = ("auth", "crypt", "security", "session", "password", "migrations/", "payment")


async def carry(context: StageContext) -> StageOutput:
    """Resolve bases, extract acceptance commands, class the risk."""
    spec = context.input.spec
    bases: dict[str, str] = {}
    branches: dict[str, str] = {}
    for repo in spec.repos:
        try:
            mirror = await context.mirror(repo)
            bases[repo.name] = await _base(context, mirror, repo)
            await mirror.check(bases[repo.name])
            branches[repo.name] = await _branch(context, mirror, repo) or bases[repo.name]
        except ForgeError as error:
            raise forge_failure(error, repo.name) from error
        except MergeConflictError as error:
            raise git_failure(error, "dependencies_conflict", repo.name) from error
        except UnknownRevisionError as error:
            raise git_failure(error, "base_not_found", repo.name) from error
        except GitError as error:
            raise git_failure(error, "repository_unusable", repo.name) from error
    acceptance = tuple((repo.name, command) for repo in spec.repos for command in repo.fail_to_pass)
    risk, reasons = await _risk(context)
    ambiguities = _ambiguities(context)
    specification = Specification(
        acceptance=acceptance,
        risk=risk,
        risk_reasons=reasons,
        ambiguities=ambiguities,
        bases=bases,
        branches=branches,
    )
    return StageOutput(specification=specification)


async def _base(context: StageContext, mirror: Mirror, repo: RepoSpec) -> str:
    """Find the commit to build on: the base, or what contains every dependency's pull request."""
    stacked = [base for base in context.input.bases if base.repo_url == repo.url]
    if not stacked:
        await context.forge_for(repo.url).check_base(repo.url, repo.base)
        return await mirror.resolve(repo.base)
    commits = [await _pull_request_head(context, mirror, base) for base in stacked]
    return commits[0] if len(commits) == 1 else await mirror.merge(commits)


async def _branch(context: StageContext, mirror: Mirror, repo: RepoSpec) -> str | None:
    """Name the branch that the base is, None where it is none. That of `HEAD` is asked for: two may be at one commit."""
    if repo.base == "HEAD":
        return await context.broker.default_branch(repo.url)
    name = repo.base.removeprefix("refs/heads/")
    return name if await mirror.has_branch(name) else None


async def _pull_request_head(context: StageContext, mirror: Mirror, base: BaseRef) -> str:
    """Bring a dependency's commit into the private clone; its branch may have moved on since it was recorded."""
    forge = context.forge_for(base.repo_url)
    if await forge.branch_head(base.repo_url, base.branch) is None:
        return await mirror.resolve(base.commit)
    source = await forge.remote(base.repo_url)
    return await mirror.fetch_commit(source, f"refs/heads/{base.branch}")


async def _risk(context: StageContext) -> tuple[RiskClass, tuple[str, ...]]:
    """Class the risk by what the task's patch touches; a task without a patch is medium until its plan is known."""
    spec = context.input.spec
    if spec.engine != "patch":
        return "medium", ("the extent of the change is not known yet",)
    files: list[str] = []
    lines = 0
    for repo in spec.repos:
        entries = await touched(text_for(spec, repo.name))
        files += [entry.path for entry in entries]
        lines += sum(entry.added + entry.removed for entry in entries)
    sensitive = [path for path in files if any(word in path.lower() for word in _SENSITIVE)]
    reasons = [f"{len(files)} files, {lines} lines"]
    if sensitive:
        return "high", (*reasons, f"{sensitive[0]} is a sensitive place")
    if len(files) >= HIGH_FILES or lines >= HIGH_LINES:
        return "high", tuple(reasons)
    return ("medium" if len(files) >= MEDIUM_FILES or lines >= MEDIUM_LINES else "low"), tuple(reasons)


def _ambiguities(context: StageContext) -> tuple[str, ...]:
    spec = context.input.spec
    found = []
    if not any(repo.fail_to_pass for repo in spec.repos):
        found.append("no fail_to_pass command: nothing says which behaviour has to change")
        if not spec.body.strip():
            found.append("no body: nothing says in words what is wrong")
    return tuple(found)
