"""The texts of an MRFC."""

from __future__ import annotations

import shlex

from contracts.resolution import IncidentOpened
from contracts.task import RepoSpec


def script(incident: IncidentOpened, runnable: bool) -> str:
    """Write the script: it exits 1 when the failure shows, 0 when it does not, 2 when it cannot tell."""
    lines = [
        "#!/bin/sh",
        f"# {_one_line(incident.title)}",
        f"# Given up at stage {incident.stage}: {_one_line(incident.reason)}",
        "# usage: ./reproduce [DIRECTORY]    works in a new temporary directory unless one is given",
        "# Exit status: 1 the failure shows, 0 it does not, 2 it could not be tried.",
        "set -u",
        'here=$(cd "$(dirname "$0")" && pwd) || exit 2',
        'work=${1:-$(mktemp -d)} && mkdir -p "$work" && cd "$work" || exit 2',
        "export PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0",
        "failed=0",
    ]
    if not runnable:
        lines += [
            'echo "The repository could not be read when this was filed: nothing can be run." >&2',
            "exit 2",
        ]
    for repo in incident.repos:
        lines += _steps(incident, repo)
    lines += [
        'if [ "$failed" = 0 ]; then echo "The failure does not show."; exit 0; fi',
        'echo "The failure shows, as recorded."',
        "exit 1",
        "",
    ]
    return "\n".join(lines)


def _steps(incident: IncidentOpened, repo: RepoSpec) -> list[str]:
    place = shlex.quote(repo.name)
    lines = [
        f'git clone -q "$here"/{place}/base.bundle "$work"/{place} || exit 2',
        f'cd "$work"/{place} || exit 2',
    ]
    for name, value in repo.env.items():
        lines.append(f'export {name}="{_in_double_quotes(value)}"')
    lines += [
        f'if ! git apply --index --whitespace=nowarn "$here"/{place}/change.patch; then',
        '  echo "The patch does not apply."',
        "  failed=1",
        "else",
        '  if git diff --cached --quiet; then echo "The change is empty."; failed=1; fi',
    ]
    if repo.known_failures:
        options = " ".join(f"--deselect={shlex.quote(test)}" for test in repo.known_failures)
        lines.insert(
            2, f"export PYTEST_ADDOPTS={shlex.quote(options)}  # known failures of the base do not count"
        )
    restored = incident.restored.get(repo.name, ())
    if restored:
        lines.append("  # What judges the change is taken from the base, as the verifier does.")
        for path in restored:
            lines.append(
                f"  git --literal-pathspecs checkout -q HEAD -- {shlex.quote(path)} 2>/dev/null"
                f" || git --literal-pathspecs rm -qf --ignore-unmatch -- {shlex.quote(path)}"
            )
    if repo.setup:
        lines.append(f"  sh -c {shlex.quote(repo.setup)} || exit 2")
    for name, command in incident.commands:
        if name == repo.name:
            # A shell of its own, as the verifier gives it: what is no proper command fails by itself.
            lines += [
                f"  printf '%s\\n' {shlex.quote('$ ' + command)}",
                f"  sh -c {shlex.quote(command)} || failed=1",
            ]
    lines += [
        f"  printf '%s\\n' {shlex.quote(f'found: {finding.code}: {_one_line(finding.detail)}')}"
        for finding in incident.findings
    ]
    lines.append("fi")
    return lines


def readme(incident: IncidentOpened, runnable: bool) -> str:
    """Write what a person needs to go on."""
    findings = "\n".join(f"- `{finding.code}`: {finding.detail}" for finding in incident.findings) or "- none"
    commands = "\n".join(f"- {name}: `{command}`" for name, command in incident.commands) or "- none"
    bases = "\n".join(f"- {name}: `{commit}`" for name, commit in incident.bases.items()) or "- unknown"
    how = (
        "`./reproduce` clones the base from the bundle beside it, applies the change and runs the commands; "
        "it exits 1 when the failure shows."
        if runnable
        else "The repository could not be read, so there is nothing to run."
    )
    return (
        f"# {_one_line(incident.title)}\n\n"
        f"Task `{incident.task_id}` was given up at stage `{incident.stage}`: {incident.reason}\n\n"
        f"## Reproduce\n\n{how}\n\n"
        f"## Findings\n\n{findings}\n\n## Commands that failed\n\n{commands}\n\n## Base commits\n\n{bases}\n\n"
        f"Go on with `autopilot retry {incident.task_id}` once the cause is gone.\n"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _in_double_quotes(value: str) -> str:
    """Quote for double quotes, but let `$PATH` and its like be expanded as the verifier does."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`").replace("$(", "\\$(")
