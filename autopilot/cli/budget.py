"""`budget`: tokens that are reserved and spent, and their ceilings."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from autopilot.cli import show
from autopilot.cli.client import Client
from autopilot.cli.failure import UsageError
from autopilot.cli.options import AsJson, DataDir, client, number, task_named


def budget(
    whose: Annotated[
        str, typer.Argument(metavar="[WHOSE]", help="hour, provider:NAME, or a task's id.")
    ] = "",
    tokens: Annotated[
        str, typer.Argument(metavar="[TOKENS]", help="The new ceiling; none lifts a provider's.")
    ] = "",
    synthetic: Annotated[bool, typer.Option("--synthetic", help="The ledger of simulated work.")] = False,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Show or change how many tokens may be spent. Within an hour by all or by a provider, or by one task in all."""
    if bool(whose) != bool(tokens):
        raise UsageError("WHOSE and TOKENS go together; without both, the budget is shown")
    wanted = number(tokens)
    if tokens and tokens != "none" and wanted is None:
        raise UsageError(f"TOKENS: {tokens[:60]!r} is neither a number nor none")
    connected, ledger = client(data_dir), "synthetic" if synthetic else "main"
    if not whose:
        found = connected.scheduler("GET", "/v1/budget", params={"ledger": ledger})
    elif whose == "hour" or whose.startswith("provider:"):
        body = {"scope": whose, "tokens": wanted, "ledger": ledger}
        found = connected.scheduler("PUT", "/v1/budget", json=body)
    else:
        _change_task(connected, whose, wanted, json)
        return
    show.as_json(found) if json else _tell(found)


def _change_task(connected: Client, task_id: str, tokens: int | None, json: bool) -> None:
    if tokens is None:
        raise UsageError("TOKENS: a task always has a budget")
    found = connected.scheduler("PUT", f"/v1/tasks/{task_named(task_id)}/budget", json={"tokens": tokens})
    show.as_json(found) if json else show.line(f"{found['id']} may spend {found['tokens']:,} tokens")


def _tell(found: dict[str, Any]) -> None:
    rows = [
        (
            one["scope"],
            "none" if one["ceiling"] is None else f"{one['ceiling']:,}",
            f"{one['reserved']:,}",
            f"{one['spent']:,}",
        )
        for one in found["accounts"]
    ]
    show.table(("account", "ceiling an hour", "reserved", "spent"), rows)
    for one in found["waiting"]:
        show.line(
            f"{one['task_id']} waits for {one['tokens']:,} tokens of {one['provider']} until {one['until']}"
        )
