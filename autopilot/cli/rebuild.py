"""`rebuild`: a read model built anew from the record, beside the one in use; or only compared with it."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from autopilot.cli import show
from autopilot.cli.client import Client
from autopilot.cli.failure import CliError, UsageError
from autopilot.cli.options import AsJson, DataDir, client

#: Seconds between two looks at how far it has come.
LOOK_S = 0.2


def rebuild(
    projection: Annotated[
        list[str] | None, typer.Argument(metavar="[PROJECTION]...", help="Names of read models.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every read model there is.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare what is in use with what the record gives.")
    ] = False,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Build read models anew from the record while everything goes on, and switch to them.

    Whoever reads sees the old one until the new one is whole. With --check nothing is switched: exit status 1 says that
    what is in use is not what the record gives.
    """
    names = _names(projection or [], everything=everything)
    connected = client(data_dir)
    done = {name: _carry_out(connected, name, "check" if check else "rebuild", quiet=json) for name in names}
    if json:
        show.as_json(done)
    wrong = [name for name, job in done.items() if job["state"] != "done" or job["differences"]]
    if wrong:
        raise CliError("; ".join(_complaint(name, done[name]) for name in wrong))


def _names(given: list[str], *, everything: bool) -> list[str]:
    """Check what is to be built. Raises UsageError that lists the names there are."""
    # Reading what the services declare takes a second: only this command needs it.
    from autopilot.wiring import services

    known = [service.name for service in services() if service.projection is not None]
    if everything:
        return known
    if not given or (unknown := [name for name in given if name not in known]):
        what = (
            f"{', '.join(map(repr, unknown))}: there is no such read model"
            if given
            else "PROJECTION is missing"
        )
        raise UsageError(f"{what}; there are: {', '.join(known)}; or give --all")
    return list(dict.fromkeys(given))


def _carry_out(connected: Client, name: str, kind: str, *, quiet: bool) -> dict[str, Any]:
    job: dict[str, Any] = connected.service(name, "POST", f"/v1/projection/{kind}")
    wanted = job["id"]
    terminal = sys.stderr.isatty() and not quiet
    while job["state"] not in ("done", "failed"):
        time.sleep(LOOK_S)
        found = connected.service(name, "GET", "/v1/projection")["job"]
        if found is None or found["id"] != wanted:
            raise CliError(
                f"{name}: the service was started again meanwhile; what was in use before still is"
            )
        job = found
        if terminal:
            sys.stderr.write(f"\r{name}: {job['state']}, {job['events']} events \033[K")
    if terminal:
        sys.stderr.write("\r\033[K")
    if not quiet and job["state"] == "done" and not job["differences"]:
        compared = f", {job['compared']} documents alike" if kind == "check" else ""
        show.line(f"{name}: {job['events']} events in {job['seconds']:.1f} s{compared}")
    return job


def _complaint(name: str, job: dict[str, Any]) -> str:
    if job["state"] == "failed":
        kept = "; what was in use before still is" if job["kind"] == "rebuild" else ""
        return f"{name}: {job['reason']}{kept}"
    named = ", ".join(job["different"])
    return f"{name}: {job['differences']} documents are not what the record gives: {named}"
