"""What is checked of a task before it is accepted: errors that name the field, nothing half created."""

from __future__ import annotations

from collections import Counter

from contracts.message import TOKEN
from contracts.task import TaskSpec
from libs.runtime.http import Problem
from libs.runtime.work import Work
from services.scheduler.domain.walk import task

#: Engines that this release carries.
ENGINES = ("patch", "noop")


async def check(spec: TaskSpec, work: Work, task_id: str) -> None:
    """Refuse a task that cannot be carried out as written. Raises Problem 422."""
    for field, detail in _faults(spec):
        raise Problem(422, "Invalid task", f"{field}: {detail}", field=field)
    for place, dependency in enumerate(spec.depends_on):
        field = f"depends_on[{place}]"
        if dependency in (task_id, spec.key):
            raise Problem(422, "Dependency cycle", f"{field}: {dependency} -> {dependency}: a task cannot depend on itself", field=field)
        if not TOKEN.match(dependency) or (await work.load(task, dependency)).phase == "none":
            raise Problem(422, "Unknown dependency", f"{field}: there is no task {dependency!r}", field=field)


def _faults(spec: TaskSpec) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    names = Counter(repo.name for repo in spec.repos)
    if doubled := [name for name, count in names.items() if count > 1]:
        faults.append(("repos", f"two repositories are named {doubled[0]!r}"))
    if spec.engine not in ENGINES:
        faults.append(("engine", f"{spec.engine!r} is not available in this release; use one of: {', '.join(ENGINES)}"))
    if spec.engine == "noop" and not spec.synthetic:
        faults.append(("engine", "noop is accepted only with `synthetic: true`"))
    if spec.engine == "patch":
        faults += _patch_faults(spec)
    for place, repo in enumerate(spec.repos):
        if spec.engine != "noop" and not (repo.fail_to_pass or repo.verify.test):
            faults.append((f"repos[{place}].verify.test", "give verify.test or fail_to_pass: without a test nothing can be proven"))
        for name, value in repo.env.items():
            if not name.isidentifier():
                faults.append((f"repos[{place}].env", f"{name!r} is no variable name"))
            if "\0" in value:
                faults.append((f"repos[{place}].env.{name}", "holds a NUL byte"))
        if repo.report is not None and (repo.report.startswith("/") or ".." in repo.report.split("/")):
            faults.append((f"repos[{place}].report", "must be a path inside the repository"))
    if len(spec.repos) > 1 and spec.engine != "noop":
        faults.append(("repos", "changes across several repositories are not available in this release; submit one task for each"))
    return faults


def _patch_faults(spec: TaskSpec) -> list[tuple[str, str]]:
    if spec.patch is None or spec.patch == "" or spec.patch == {}:
        return [("patch", "engine patch needs the text of a patch")]
    if isinstance(spec.patch, dict):
        unknown = set(spec.patch) - {repo.name for repo in spec.repos}
        if unknown:
            return [("patch", f"names {sorted(unknown)[0]!r}, which is none of the repositories")]
    return []
