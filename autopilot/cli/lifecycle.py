"""`up`, `down`, `status`, `doctor`."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated

import msgspec
import typer

from autopilot.cli import github, show
from autopilot.cli.client import Client
from autopilot.cli.failure import CliError, UnreachableError
from autopilot.cli.options import AsJson, DataDir
from autopilot.stack import detach
from autopilot.stack.config import StackConfig
from autopilot.stack.nats import program
from autopilot.stack.progress import WHOLE, Progress, Report
from autopilot.stack.status import read
from libs.sandbox import groups
from libs.sandbox.capability import probe


def up(
    data_dir: DataDir = None,
    detached: Annotated[bool, typer.Option("--detach", help="Return when ready; `down` stops it.")] = False,
    ephemeral_ports: Annotated[bool, typer.Option("--ephemeral-ports", help="Take free ports.")] = False,
) -> None:
    """Start the embedded stack: Postgres, NATS and the seven services."""
    config = StackConfig.from_arguments(data_dir, ephemeral_ports=ephemeral_ports)
    require_sandbox()
    if detached:
        start_detached(config, progress_lines)
        announce(Client(config))
        return
    # Only here, because the drivers of Postgres and NATS take longer to load than most commands to run.
    from autopilot.cli.attached import stay

    asyncio.run(stay(config))


def start_detached(config: StackConfig, report: Report) -> None:
    """Run `up` in the background and return when it is ready. Raises StackError."""
    argv = [sys.executable, "-m", "autopilot", "up", "--data-dir", str(config.data_dir)]
    detach.launch([*argv, "--ephemeral-ports"] if config.ephemeral else argv, config, report)


def progress_lines(event: Progress) -> None:
    """Print a line when a part is ready or failed."""
    if event.part == WHOLE and event.state == "starting":
        show.line("Starting …")
    elif event.state == "ready":
        show.line(f"  {event.part:<14} ready   {event.seconds:5.1f} s")
    elif event.state == "failed" and event.part != WHOLE:
        # Why the whole has failed is the error with which the command ends.
        show.line(f"  {event.part:<14} failed  {event.detail or ''}")


def announce(client: Client) -> None:
    """Say where the dashboard is, with a link that logs a browser in once."""
    url: str = client.dashboard("POST", "/api/v1/session-links")["url"]
    if client.status.published:
        url = url.replace(client.status.addresses["dashboard"], client.status.published, 1)
    show.line(f"Dashboard: {url}  (valid once)")


def down(data_dir: DataDir = None) -> None:
    """Stop the stack."""
    config = StackConfig.from_arguments(data_dir)
    found = read(config.stack_file)
    if found is not None and found.contained:
        raise CliError("this stack runs in containers: `docker compose down` stops it")
    if detach.stop_running(config):
        show.line("Stopped.")
    else:
        show.line(f"No stack is running on {config.data_dir}.")


def status(data_dir: DataDir = None, json: AsJson = False) -> None:
    """Tell which parts run, and where."""
    client = Client(StackConfig.from_arguments(data_dir))
    state = client.status
    wrong = [name for name, process in state.processes.items() if process.state != "ready"]
    if json:
        show.as_json(msgspec.to_builtins(state))
    else:
        show.facts({"state": state.state, "data directory": state.data_dir, "supervisor": state.pid})
        rows = [
            (
                name,
                process.state,
                process.pid or "-",
                process.restarts,
                state.addresses.get(name, ""),
                process.error or "",
            )
            for name, process in state.processes.items()
        ]
        show.table(("part", "state", "pid", "restarts", "address", "last error"), rows)
        if state.topology is not None and not state.topology.ok:
            show.line(f"topology: {state.topology.error}")
        if state.journal is not None and not state.journal.ok:
            show.line(f"journal: the record is not being sealed: {state.journal.error}")
        if not wrong:
            announce(client)
    if wrong or state.state != "ready":
        raise typer.Exit(1)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the stack needs."""

    name: str
    ok: bool
    #: What was found, or what is missing and the remedy.
    detail: str


def doctor(data_dir: DataDir = None, json: AsJson = False) -> None:
    """Check what this machine has of what the stack needs."""
    config = StackConfig.from_arguments(data_dir)
    checks = [check(config) for check in CHECKS]
    if json:
        show.as_json(msgspec.to_builtins(checks))
    else:
        show.table(
            ("check", "", "finding"),
            [(one.name, "ok" if one.ok else "MISSING", one.detail) for one in checks],
        )
    if not all(one.ok for one in checks):
        raise typer.Exit(1)


def _python(_: StackConfig) -> Check:
    version = sys.version_info[:3]
    return Check(
        name="python",
        ok=(3, 11) <= version[:2] <= (3, 13),
        detail=f"{version[0]}.{version[1]}.{version[2]} (3.11 to 3.13 are supported)",
    )


def _git(_: StackConfig) -> Check:
    found = shutil.which("git")
    if found is None:
        return Check(name="git", ok=False, detail="not found; install the package git (2.38 or newer)")
    done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=10, check=False)
    return Check(name="git", ok=done.returncode == 0, detail=done.stdout.strip() or done.stderr.strip())


def _sandbox(_: StackConfig) -> Check:
    found = probe()
    return Check(name="sandbox", ok=found.kind is not None, detail=found.missing or f"{found.kind}")


def _limits(_: StackConfig) -> Check:
    # Both ways hold; which of them does is worth knowing.
    return Check(name="limits", ok=True, detail=groups.find().enforcement)


def _nats(_: StackConfig) -> Check:
    return Check(name="nats-server", ok=True, detail=str(program()))


def _disk(config: StackConfig) -> Check:
    place = next(path for path in (config.data_dir, *config.data_dir.parents) if path.exists())
    usage = shutil.disk_usage(place)
    free = 100 * usage.free / usage.total
    return Check(
        name="disk",
        ok=free >= 10,
        detail=f"{free:.0f} % of the data directory's volume is free (10 % are needed)",
    )


def _stack(config: StackConfig) -> Check:
    try:
        state = Client(config).status.state
    except UnreachableError:
        return Check(name="stack", ok=True, detail="not running")
    return Check(name="stack", ok=state == "ready", detail=state)


def _github(_: StackConfig) -> Check:
    ok, detail = github.check()
    return Check(name="github", ok=ok, detail=detail)


CHECKS: tuple[Callable[[StackConfig], Check], ...] = (
    *(_python, _git, _sandbox, _limits, _nats, _disk, _stack, _github),
)


def require_sandbox() -> None:
    """Refuse to run tasks where commands cannot be isolated."""
    found = probe()
    if found.kind is None:
        raise CliError(f"commands cannot be isolated on this machine, so no task may run: {found.missing}")
