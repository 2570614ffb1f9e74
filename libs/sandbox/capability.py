"""Finds out whether this machine can isolate commands, by isolating one."""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct, structs

from libs.sandbox import groups
from libs.sandbox.command import Command, Ended, Limits
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.sandbox.launch import Backend, Kind, launch

#: an exit code that nothing else gives by chance
_CODE = 91
_LIMITS = Limits(wall_s=15, memory_mb=64, output_bytes=4096, processes=32, file_mb=1)
_BWRAP_S = 5


class Capability(Struct, frozen=True, kw_only=True):
    """The kind of sandbox that works here, or what is missing and what to do about it, in one line."""

    kind: Kind | None
    missing: str


_found: Backend | None = None
_discovery = threading.Lock()


def probe() -> Capability:
    """Start a trivial command in a sandbox and see whether it ran, and ran alone."""
    try:
        return Capability(kind=_search().kind, missing="")
    except SandboxUnavailableError as error:
        return Capability(kind=None, missing=error.cause)


def known() -> Backend | None:
    """Return the backend if one has been found before."""
    return _found


def discover() -> Backend:
    """Find the backend, and remember it; raises SandboxUnavailableError, and looks again the next time."""
    global _found
    with _discovery:
        if _found is None:
            _found = structs.replace(_search(), groups=groups.find())
        return _found


def _search() -> Backend:
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailableError("probe", "only Linux can isolate commands: run the stack on Linux")
    refused: list[SandboxError] = []
    for backend in candidates():
        try:
            try_out(backend)
        except SandboxError as error:
            refused.append(error)
        else:
            return backend
    raise SandboxUnavailableError("probe", remedy(refused[-1]))


def candidates() -> list[Backend]:
    """The backends whose programs are installed, the preferred one first."""
    own = Backend(kind="namespaces")
    bwrap = shutil.which("bwrap")
    # Not for root: bubblewrap leaves the device nodes to their owner, so a command could `chmod 0 /dev/null`.
    if bwrap is None or os.geteuid() == 0:
        return [own]
    return [Backend(kind="bubblewrap", bwrap=bwrap, bwrap_disables_userns=_disables_userns(bwrap)), own]


@functools.cache
def _disables_userns(bwrap: str) -> bool:
    try:
        told = subprocess.run(
            [bwrap, "--help"], capture_output=True, text=True, timeout=_BWRAP_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "--disable-userns" in told.stdout + told.stderr


def try_out(backend: Backend) -> None:
    """Run a command whose answer only a sandbox that works can give; raises SandboxError."""
    nonce = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="sandbox-probe-") as folder:
        canary = Path(folder) / "canary"
        canary.write_text("not to be seen", encoding="utf-8")
        output = Path(folder) / "output"
        command = Command(
            script=f'test ! -e "$CANARY" && test "$$" -lt 10 && echo {nonce} && exit {_CODE}',
            cwd="/tmp",  # noqa: S108
            env={"CANARY": str(canary)},
            mounts=(),
            limits=_LIMITS,
        )
        # A thread of its own, because the caller may be inside an event loop already.
        with ThreadPoolExecutor(max_workers=1) as thread:
            outcome = thread.submit(lambda: asyncio.run(launch(command, output, backend))).result()
        said = output.read_text(encoding="utf-8", errors="replace").strip()
    if outcome.ended is not Ended.EXITED or outcome.exit_code != _CODE or said != nonce:
        told = f"the command was {outcome.ended}, code {outcome.exit_code}, and printed {said[:200]!r}"
        raise SandboxError("probe", f"the set-up failed silently: {told}")


def remedy(error: SandboxError, settings: Path = Path("/proc/sys")) -> str:
    """Say in one line what the failed set-up lacks and what an administrator can do."""
    said = f"{error.stage}: {error.cause}"
    switches = (
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    )
    for name, closed, command in switches:
        if _setting(settings / name) == closed:
            return f"user namespaces are switched off ({said}): as root, {command}"
    if error.stage in ("user namespace", "namespaces"):
        return (
            f"user namespaces are refused ({said}): in a container, start it with "
            "--security-opt seccomp=unconfined --security-opt apparmor=unconfined"
        )
    if error.stage == "proc":
        return (
            f"a fresh /proc is refused ({said}): in a container, start it with "
            "--security-opt systempaths=unconfined"
        )
    if "Function not implemented" in error.cause:
        return f"the kernel is older than 5.12 ({said}): install bubblewrap"
    return f"commands cannot be isolated ({said}): install bubblewrap, or allow user and mount namespaces"


def _setting(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
