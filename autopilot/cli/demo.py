"""`demo`: seven real tasks on the example repository, from submit to pull request or incident."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import yaml

from autopilot.cli import lifecycle, show, taskfile
from autopilot.cli.client import Client
from autopilot.cli.failure import CliError
from autopilot.cli.options import AsJson, DataDir
from autopilot.cli.sending import send
from autopilot.cli.watch import Watch
from autopilot.stack import detach
from autopilot.stack.config import StackConfig
from autopilot.stack.ports import busy
from autopilot.stack.progress import silent
from contracts.task import TaskSpec

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_GIT = (
    "git",
    "-c",
    "user.name=Demo",
    "-c",
    "user.email=demo@example.invalid",
    "-c",
    "init.defaultBranch=main",
)


def demo(
    data_dir: DataDir = None,
    ephemeral_ports: Annotated[bool, typer.Option("--ephemeral-ports", help="Take free ports.")] = False,
    json: AsJson = False,
) -> None:
    """Run real tasks on an example repository. Exits 0 only if every outcome is the expected one."""
    began = time.monotonic()
    config = StackConfig.from_arguments(data_dir, ephemeral_ports=ephemeral_ports)
    interactive = sys.stdout.isatty() and not os.environ.get("CI") and not json
    own_stack = not _running(config)
    if own_stack:
        lifecycle.require_sandbox()
        if not ephemeral_ports and busy(config.ports):
            config = msgspec.structs.replace(config, ephemeral=True)
            if not json:
                show.line("The usual ports are in use; taking free ones.")
        lifecycle.start_detached(config, silent if json else lifecycle.progress_lines)
    try:
        if interactive:
            lifecycle.announce(Client(config))
        elif not json:
            status = Client(config).status
            show.line(f"Dashboard: {status.published or status.addresses['dashboard']}")
        wrong = _run(config, began, json=json)
        if interactive and own_stack:
            # The first link may have been used.
            lifecycle.announce(Client(config))
            show.line("The stack stays up until Ctrl-C.")
            _wait_for_interrupt()
    finally:
        if own_stack:
            detach.stop_running(config)
    if wrong:
        raise typer.Exit(1)


def _run(config: StackConfig, began: float, *, json: bool) -> list[str]:
    """Submit the demo's tasks, watch them, compare outcomes; return the keys that ended otherwise than expected."""
    expected = promised()
    client = Client(config)
    with tempfile.TemporaryDirectory(prefix="autopilot-demo-") as scratch:
        specs = tasks(expected, Path(scratch))
        ids = send(client, specs)
        final = Watch(client, ids, [spec.key for spec in specs]).run(quiet=json)
    by_key = {spec.key or "": one for spec, one in zip(specs, final, strict=True)}
    rows = [_row(Path(client.status.data_dir), key, expected[key], by_key[key]) for key in expected]
    wrong = [row["key"] for row in rows if not row["as_expected"]]
    if json:
        show.as_json(rows)
        return wrong
    columns = ("task", "outcome", "PR", "seconds", "evidence")
    cells = [
        [row["key"], row["outcome"], row["pr"], row["seconds"], show.path(Path(row["read"]))] for row in rows
    ]
    show.table(columns, cells, marked=(1,))
    for row in rows:
        show.line(f"{row['key']}: {row['why']}")
        if not row["as_expected"]:
            wanted = f"{row['expected']} {expected[row['key']].get('reason', '')}".rstrip()
            reason = row["reason"] or "see its evidence"
            show.line(f"  NOT AS EXPECTED: it should be {wanted}, but is {row['outcome']}: {reason}")
    show.line(
        f"{len(rows) - len(wrong)} of {len(rows)} as expected, {time.monotonic() - began:.0f} s in all."
    )
    return wrong


def _row(data_dir: Path, key: str, expected: dict[str, str], one: dict[str, Any]) -> dict[str, Any]:
    task_id = one["id"]
    pulls = one.get("pull_requests", ())
    if one.get("incident_id"):
        read = str(data_dir / "incidents" / one["incident_id"])
    else:
        read = f"{show.program()} evidence {task_id}"
    return {
        "key": key,
        "id": task_id,
        "outcome": one["phase"],
        "expected": expected["outcome"],
        # An incident for another reason than the one it is there to show would show nothing.
        "as_expected": one["phase"] == expected["outcome"]
        and expected.get("reason", "") in one.get("reason", ""),
        "why": expected["why"],
        "pr": ", ".join(f"#{pull['number']}" for pull in pulls) or "-",
        "tree": pulls[0]["tree"] if pulls else None,
        "seconds": one.get("seconds", ""),
        "read": read,
        "reason": one.get("reason", ""),
    }


def promised() -> dict[str, dict[str, str]]:
    """Read what the demo promises: key to outcome and why."""
    expected: dict[str, dict[str, str]] = yaml.safe_load((EXAMPLES / "demo" / "expected.yaml").read_text())
    return expected


def tasks(keys: Iterable[str], scratch: Path) -> list[TaskSpec]:
    """Load the demo's tasks, on a repository made in `scratch`."""
    repository = make_repository(scratch)
    return [placed(taskfile.load(EXAMPLES / "demo" / f"{key}.yaml"), repository) for key in keys]


def make_repository(scratch: Path) -> Path:
    """Copy the example library and commit it: a repository of its own, like any user's."""
    place = scratch / "ledgerline"
    shutil.copytree(EXAMPLES / "ledgerline", place)
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "Ledgerline")):
        subprocess.run([*_GIT, *arguments], cwd=place, check=True, capture_output=True, timeout=60)
    return place


def placed(spec: TaskSpec, repository: Path) -> TaskSpec:
    """Point a demo task at the repository, and at the test runner of this installation.

    Its plug-ins stay out: the library needs none of them, and they take two thirds of each run of its tests (1.9 s
    of processor time, 0.6 s without).
    """
    tools = str(Path(sys.executable).parent)
    env = {"PATH": f"{tools}:$PATH", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    repos = tuple(
        msgspec.structs.replace(repo, url=str(repository), env=env | repo.env) for repo in spec.repos
    )
    return msgspec.structs.replace(spec, repos=repos)


def _running(config: StackConfig) -> bool:
    try:
        Client(config)
    except CliError:
        return False
    return True


def _wait_for_interrupt() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        show.line("Stopping …")
