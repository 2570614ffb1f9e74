"""A Python that lives in somebody's home can be used, and nothing else of that home is seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from libs.sandbox.command import Outcome
from libs.sandbox.interpreters import required_mounts

Shell = Callable[..., Coroutine[Any, Any, tuple[Outcome, str]]]
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with a Python installation, links to it, and secrets."""
    home = tmp_path / "home of a user"
    prefix = home / ".pythons" / "3.1.1"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy2(os.path.realpath(sys.executable), prefix / "bin" / VERSION)
    unneeded = shutil.ignore_patterns(
        "test", "tests", "site-packages", "dist-packages", "__pycache__", "idlelib", "tkinter", "config-*"
    )
    shutil.copytree(sysconfig.get_path("stdlib"), prefix / "lib" / VERSION, ignore=unneeded)
    for library in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        shutil.copy2(library, prefix / "lib")
    (home / ".pythons" / "latest").symlink_to("3.1.1")
    local = home / ".local"
    (local / "bin").mkdir(parents=True)
    (local / "bin" / "python3").symlink_to(f"../../.pythons/latest/bin/{VERSION}")
    (local / "lib" / VERSION / "site-packages").mkdir(parents=True)
    (local / "secret").write_text("secret", encoding="utf-8")
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id").write_text("secret", encoding="utf-8")
    monkeypatch.setenv("HOME", str(home))
    made = subprocess.run(
        [
            home / ".pythons" / "latest" / "bin" / VERSION,
            "-I",
            "-m",
            "venv",
            "--without-pip",
            home / "project" / ".venv",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"this Python does not work as a copy: {made.stderr.strip()[-200:]}")
    program = home / "project" / ".venv" / "bin" / "python3"
    program.unlink()
    program.symlink_to(local / "bin" / "python3")  # as environments made by some tools do
    (home / "project" / "secret").write_text("secret", encoding="utf-8")
    return home


async def test_a_virtual_environment_in_a_home_works_and_shows_no_more_of_it(
    shell: Shell, home: Path
) -> None:
    venv = home / "project" / ".venv"
    mounts = required_mounts([str(venv / "bin"), "/usr/bin", "/nowhere"])

    environment = {"PATH": f"{venv}/bin:/usr/bin:/bin", "THEIRS": str(home), "VIRTUAL": str(venv)}
    # Where a Python is built as a shared library, it would be sought where the original lies.
    environment["LD_LIBRARY_PATH"] = str(home / ".pythons" / "3.1.1" / "lib")
    outcome, text = await shell(
        "python -c 'import sys, json, ctypes, venv; print(sys.prefix); print(sys.base_prefix)';"
        'find "$THEIRS" -path "*/lib/*" -prune -o -print; touch "$VIRTUAL/x"',
        *mounts,
        env=environment,
    )

    lines = text.splitlines()
    assert lines[0] == str(venv), text
    assert Path(lines[1]).resolve() == (home / ".pythons" / "3.1.1").resolve()
    assert "Read-only file system" in lines[-1]
    assert outcome.exit_code == 1
    seen = {line.removeprefix(f"{home}/") for line in lines[2:-1]}
    assert not [path for path in seen if "secret" in path or ".ssh" in path]
    assert ".local/bin/python3" in seen
    assert ".local/lib" not in seen


async def test_the_environment_that_runs_these_tests_works(shell: Shell) -> None:
    outcome, text = await shell(
        f"'{sys.executable}' -c 'import sys; print(sys.prefix)'",
        *required_mounts([os.path.dirname(sys.executable)]),
    )

    assert (outcome.exit_code, text) == (0, f"{sys.prefix}\n")
