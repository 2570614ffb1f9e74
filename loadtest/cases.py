"""Runs real cases through a real stack: `python -m loadtest.cases DIR [--engine NAME] [--only ID] [--json]`.

DIR is written by the case scripts (cases/*/case.json, repos/*.git). With engine `patch` a case's task carries
`gold.patch`, or `<--patch-dir>/<id>.patch`. Exit status: 0 when every case that could be submitted ended `done` and
passes the independent check.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

from autopilot.cli import show
from autopilot.cli.client import Client
from autopilot.cli.failure import CliError, RefusedError
from autopilot.cli.sending import send
from autopilot.cli.watch import Watch
from autopilot.stack.config import StackConfig
from contracts.task import TaskSpec
from libs.git.broker import Broker
from loadtest import independent
from loadtest.case import Case, environment, load, task
from loadtest.ownstack import own_stack


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """How one case went."""

    id: str
    state: str
    pr: str | None = None
    tree: str | None = None
    #: None where there is no pull request to check.
    independent_check: bool | None = None
    wall_s: float = 0.0
    #: Seconds of the stage `implement`, all attempts; the wait for a place of the stage-runner is in it.
    engine_s: float = 0.0
    attempts: int = 0
    tokens: int = 0
    reason: str = ""


def main() -> int:
    """Run the cases and report."""
    options = _options()
    root: Path = options.directory.absolute()
    cases = load(root, tuple(options.only))
    tools = {case.id: environment(root, case) for case in cases if not case.multi_repo}
    theirs = options.data_dir
    try:
        with own_stack() if theirs is None else nullcontext(StackConfig.from_arguments(theirs)) as config:
            client = Client(config)
            if options.max_concurrent is not None:
                client.scheduler("PUT", "/v1/config", json={"max_concurrent": options.max_concurrent})
            rows = _run(client, config, root, cases, tools, options)
    except CliError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return error.code
    _report(rows, json=options.json)
    judged = [row for row in rows if row.state != "refused"]
    return 0 if all(row.state == "done" and row.independent_check for row in judged) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.cases", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--engine", default="patch", choices=["patch", "repair", "command"])
    parser.add_argument("--only", action="append", nargs="+", default=[], metavar="ID")
    parser.add_argument(
        "--patch-dir", type=Path, help="take DIR/<id>.patch instead of each case's gold.patch"
    )
    parser.add_argument("--data-dir", type=Path, help="use the stack that runs on this directory")
    parser.add_argument("--max-concurrent", type=int, help="how many tasks may hold a slot at once")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.only = [name for names in options.only for name in names]
    return options


def _run(
    client: Client,
    config: StackConfig,
    root: Path,
    cases: list[Case],
    tools: dict[str, Path],
    options: argparse.Namespace,
) -> list[Row]:
    rows: dict[str, Row] = {}
    ids: dict[str, str] = {}
    began = time.monotonic()
    for case in cases:
        try:
            ids[case.id] = send(client, [_task(root, case, tools.get(case.id, root), options)])[0]
        except (RefusedError, OSError) as error:
            rows[case.id] = Row(id=case.id, state="refused", reason=str(error))
    if ids:
        final = dict(zip(ids, Watch(client, list(ids.values())).run(quiet=options.json), strict=True))
        for case in cases:
            if case.id in final:
                rows[case.id] = asyncio.run(
                    _row(config, case, final[case.id], tools[case.id], _engine_s(client, ids[case.id]))
                )
    print(f"{len(ids)} tasks in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return [rows[case.id] for case in cases]


def _task(root: Path, case: Case, tools: Path, options: argparse.Namespace) -> TaskSpec:
    patch = None
    if options.engine != "patch":
        pass  # the others find their change themselves
    elif options.patch_dir is not None:
        patch = (options.patch_dir / f"{case.id}.patch").read_text()
    elif case.multi_repo:
        patch = "".join(
            (root / "cases" / case.id / f"{repo['dir']}.gold.patch").read_text() for repo in case.repos
        )
    else:
        patch = (root / "cases" / case.id / "gold.patch").read_text()
    return task(root, case, tools, options.engine, patch)


def _engine_s(client: Client, task_id: str) -> float:
    """Add up what the stage `implement` took, from the record."""
    seconds, since, more = 0.0, 0, True
    while more:
        page = client.dashboard("GET", f"/api/v1/tasks/{task_id}/events", params={"since": since})
        since, more = page["next"], page["more"]
        for one in page["events"]:
            if one["type"] in ("stage_completed", "stage_failed") and one["data"]["stage"] == "implement":
                seconds += one["data"]["duration_s"]
    return round(seconds, 1)


async def _row(
    config: StackConfig, case: Case, one: dict[str, Any], tools: Path, engine_s: float = 0.0
) -> Row:
    pulls = one.get("pull_requests", ())
    checked = None
    if pulls:
        forge = config.data_dir / "forge" / f"{Broker.repo_key(pulls[0]['repo_url'])}.git"
        checked = await independent.passes(case, forge, pulls[0]["number"], tools)
    return Row(
        id=case.id,
        state=one["phase"],
        pr=pulls[0]["url"] if pulls else None,
        tree=pulls[0]["tree"] if pulls else None,
        independent_check=checked,
        wall_s=one["seconds"],
        engine_s=engine_s,
        attempts=max(one["attempts"].values(), default=0),
        reason=one.get("reason", ""),
    )


def _report(rows: list[Row], *, json: bool) -> None:
    if json:
        show.as_json(msgspec.to_builtins(rows))
        return
    cells = [
        (
            row.id,
            row.state,
            row.pr or "-",
            {True: "passes", False: "FAILS", None: "-"}[row.independent_check],
            row.wall_s,
            row.engine_s,
            row.reason,
        )
        for row in rows
    ]
    show.table(
        ("case", "state", "pull request", "independent check", "s", "engine s", "reason"), cells, marked=(1,)
    )


if __name__ == "__main__":
    sys.exit(main())
