"""The sandbox works for whoever runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.sandbox import capability

PROGRAM = """
import asyncio, os, pathlib, sys
from libs.sandbox.capability import probe
from libs.sandbox.command import Command, Limits, Mount
from libs.sandbox.runner import run

tree = sys.argv[1]
output = pathlib.Path(tree) / "output"
script = "id -u; echo x > /w/made; echo x > /w/theirs; kill -9 $$"
mounts = (Mount(source=tree, target="/w", writable=True),)
command = Command(script=script, cwd="/w", env={}, mounts=mounts, limits=Limits(wall_s=60))
assert probe().missing == "", probe()
outcome = asyncio.run(run(command, output))
print(os.geteuid(), outcome.ended, outcome.exit_code, outcome.signal, output.read_text().split()[0])
bomb = "import os, time\\nwhile True:\\n  try: os.fork()\\n  except OSError: print('bounded', flush=True); os._exit(0)"
command = Command(script=f'python3 -c "{bomb}"', cwd="/", env={}, mounts=(), limits=Limits(processes=30, wall_s=60))
asyncio.run(run(command, output))
print(output.read_text().split()[0])
"""


@pytest.fixture
def world() -> Iterator[Path]:
    """A directory that every user can enter, with an interpreter, its packages and this repository in it."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-users-"))
    folder.chmod(0o755)
    for name in ("python", "packages", "repository", "tree"):
        (folder / name).mkdir()
    os.chown(folder / "tree", 65534, 65534)
    yield folder
    shutil.rmtree(folder)


def test_an_ordinary_user_can_run_it(world: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; the other tests run as an ordinary user already")
    missing = capability.probe().missing
    if missing:
        pytest.skip(missing)
    (world / "program.py").write_text(PROGRAM, encoding="utf-8")
    (world / "tree" / "theirs").write_text("kept", encoding="utf-8")  # root's file, in nobody's directory
    repository = Path(__file__).parents[3]
    packages = sysconfig.get_path("purelib")
    # Bound in a mount namespace of the test's own, because they may lie in directories that only root may enter.
    script = (
        'mount --bind "$1" "$4/python" && mount --bind "$2" "$4/packages" && mount --bind "$3" "$4/repository" &&'
        ' cd / && exec setpriv --reuid=65534 --regid=65534 --clear-groups env -i "PATH=$PATH"'
        ' "PYTHONPATH=$4/packages:$4/repository" PYTHONDONTWRITEBYTECODE=1 "LD_LIBRARY_PATH=$4/python/lib"'
        ' "$4/python/bin/$5" "$4/program.py" "$4/tree"'
    )
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    words = [sys.base_prefix, packages, str(repository), str(world), name]

    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["65534 exited 137 9 1000", "bounded", ""]
    assert (world / "tree" / "made").stat().st_uid == 65534
    assert (world / "tree" / "theirs").read_text(encoding="utf-8") == "kept"
