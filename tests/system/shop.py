"""A user's repository with a fault in it, and tasks that mend it: real git, real sandbox, real verifier."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.task import TaskSpec
from libs.sandbox import capability

PYTEST = "python -m pytest -q -p no:cacheprovider"
FIX = f"{PYTEST} test_wide.py::test_wide"
RIGHT = "def pad(text, width):\n    return text.ljust(width)\n"
#: Makes the failing test pass and breaks the other.
WRONG = "def pad(text, width):\n    return 'a  '\n"
_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": "user@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


class Shop:
    """The user's repository and checkout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "-q", "--initial-branch=main")
        self.commit(
            {
                "wide.py": "def pad(text, width):\n    return text\n",
                "test_wide.py": "from wide import pad\n\n\ndef test_wide():\n    assert pad('a', 3) == 'a  '\n"
                "\n\ndef test_narrow():\n    assert pad('abc', 1) == 'abc'\n",
                "README.md": "# wide\n",
            }
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self.path)

    def git(self, *args: str, data: str | None = None, cwd: Path | None = None) -> str:
        """Run git as the user."""
        done = subprocess.run(
            ["git", *args], cwd=cwd or self.path, env=_ENVIRONMENT, input=data, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self, files: Mapping[str, str]) -> str:
        """Write files and commit them."""
        self._write(files)
        self.git("add", "-A")
        self.git("commit", "-qm", "a change")
        return self.git("rev-parse", "HEAD").strip()

    def _write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            place = self.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def patch(self, files: Mapping[str, str]) -> str:
        """Write the patch that changes files, and leave the checkout as it is."""
        self._write(files)
        self.git("add", "-AN")
        text = self.git("diff", "--binary")
        self.git("reset", "-q")
        self.git("checkout", "-q", ".")
        self.git("clean", "-qfd")
        return text

    def task(self, patch: str, **repo: Any) -> TaskSpec:
        """Make the task that carries a patch."""
        given = {
            "name": "wide",
            "url": self.url,
            "base": "main",
            "env": {"PATH": f"{Path(sys.executable).parent}:$PATH", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            "verify": {"test": PYTEST},
            "fail_to_pass": [FIX],
            **repo,
        }
        budget = {"memory_mb": 512, "wall_s": 300}
        values = {
            "title": "Pad",
            "body": "It pads nothing.",
            "engine": "patch",
            "patch": patch,
            "repos": [given],
        }
        return msgspec.convert({**values, "budget": budget}, TaskSpec)

    def fingerprint(self) -> dict[str, str]:
        """Hash every file of the checkout, its .git included."""
        return {
            str(path.relative_to(self.path)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.path.rglob("*"))
            if path.is_file()
        }


def require_sandbox() -> None:
    """Skip, with the reason, where commands cannot be shut in."""
    found = capability.probe()
    if found.kind is None:
        pytest.skip(found.missing)


def marked(cookie: str) -> list[int]:
    """List processes that carry a run's cookie."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"AUTOPILOT_COOKIE={cookie}".encode() in (
                entry / "environ"
            ).read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
