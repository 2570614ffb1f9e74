"""How a repository is tested, as its newest real case tells it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a repository's newest case says about how it is tested."""

    repo: str
    base_commit: str
    commit_date: datetime
    test_requirements: tuple[str, ...]
    fail_to_pass: tuple[str, ...]
    fail_to_pass_command: str
    pass_to_pass_command: str
    setup: str = ""
    known_failures: tuple[str, ...] = ()
    url: str = ""
    licence: str = ""

    def runner(self) -> str:
        """Return the test command without what it selects. Raises SystemExit where it cannot be told apart."""
        selected = shlex.join(self.fail_to_pass)
        if not self.fail_to_pass_command.endswith(f" {selected}"):
            raise SystemExit(
                f"{self.repo}: the fail_to_pass_command of its newest case does not end in its tests"
            )
        return self.fail_to_pass_command.removesuffix(selected)


def newest(cases: Path, repos: Iterable[str]) -> dict[str, Origin]:
    """Read the newest case of each repository. Raises SystemExit naming one that has none."""
    found: dict[str, Origin] = {}
    for path in sorted(cases.glob("*/case.json")):
        content = msgspec.json.decode(path.read_bytes())
        if content.get("repo") in repos and "base_commit" in content:
            one = msgspec.convert(content, Origin)
            if one.repo not in found or one.commit_date > found[one.repo].commit_date:
                found[one.repo] = one
    if missing := sorted(set(repos) - set(found)):
        raise SystemExit(f"{cases}: no case of {', '.join(missing)}")
    return found
