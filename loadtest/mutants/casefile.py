"""A mutant as a case in the form of the case scripts: what a task says of it, and what only the checker reads."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec

from loadtest.case import Case
from loadtest.mutants.origin import Origin

#: Characters that the tests take in a command; a task's commands may have 10,000.
_SELECTED = 9_000
#: Failing tests whose messages the body gives.
_TOLD = 10


def case(origin: Origin, name: str, broken: dict[str, str], known: tuple[str, ...]) -> Case:
    """Say what fails and how, not why."""
    first = next(iter(broken), "")
    others = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    return Case(
        id=name,
        title=f"{origin.repo}: {first[:200]}{others} fail",
        body=_body(broken),
        test_requirements=origin.test_requirements,
        git=f"repos/{name}.git",
        branch_with_tests=f"case/{name}+tests",
        setup=origin.setup,
        fail_to_pass_command=origin.runner() + shlex.join(_fitting(broken)),
        pass_to_pass_command=origin.pass_to_pass_command,
        known_failures=tuple(dict.fromkeys(known)),
    )


def write(out: Path, origin: Origin, case: Case, file: str, broken: list[str], gold: bytes) -> None:
    """Write `cases/<id>/case.json` and `gold.patch`."""
    folder = out / "cases" / case.id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gold.patch").write_bytes(gold)
    facts = {
        "id": case.id,
        "repo": origin.repo,
        "url": origin.url,
        "kind": "mutant",
        "licence": origin.licence,
        "title": case.title,
        "body": case.body,
        "source_commit": origin.base_commit,
        "setup": case.setup,
        "test_requirements": case.test_requirements,
        "gold_files": [file],
        "fail_to_pass": _fitting(broken),
        "fail_to_pass_command": case.fail_to_pass_command,
        "pass_to_pass_command": case.pass_to_pass_command,
        "known_failures": case.known_failures,
        "git": case.git,
        "branch": case.branch_with_tests,
        "branch_with_tests": case.branch_with_tests,
    }
    (folder / "case.json").write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n")


def _fitting(broken: dict[str, str] | list[str]) -> list[str]:
    """Take failing tests as long as they fit into a command; the whole suite holds the others."""
    fitting: list[str] = []
    for test in broken:
        if len(shlex.join([*fitting, test])) > _SELECTED:
            break
        fitting.append(test)
    return fitting


def _body(broken: dict[str, str]) -> str:
    lines = [
        f"{len(broken)} of the tests that passed before fail now. Find the fault in the code and fix it.",
        "",
    ]
    for test, message in list(broken.items())[:_TOLD]:
        lines += [test, *(f"    {line}" for line in message.splitlines()), ""]
    if len(broken) > _TOLD:
        lines += [f"and {len(broken) - _TOLD} more:", *list(broken)[_TOLD:]]
    return "\n".join(lines).rstrip() + "\n"
