"""`alerts`, `mode`, `config`."""

from __future__ import annotations

from typing import Annotated

import typer

from autopilot.cli import show
from autopilot.cli.failure import UsageError
from autopilot.cli.options import AsJson, DataDir, client, number

config = typer.Typer(
    help="Settings that can be changed while running.", no_args_is_help=True, rich_markup_mode=show.MARKUP
)

#: Tasks that may hold a slot at once, and that may wait before new ones are refused.
SETTINGS = ("max_concurrent", "max_queued")
#: Modes that can be set.
MODES = ("normal", "minimal", "read-only", "emergency-stop")


def alerts(data_dir: DataDir = None, json: AsJson = False) -> None:
    """List alerts, newest first."""
    found = client(data_dir).dashboard("GET", "/api/v1/alerts")["alerts"]
    if json:
        show.as_json(found)
        return
    rows = [
        (one.get("raised_at", ""), one["severity"], one["rule"], one.get("task_id", ""), one["summary"])
        for one in found
    ]
    show.table(("raised", "severity", "rule", "task", "summary"), rows)


def mode(
    wanted: Annotated[
        str, typer.Argument(metavar="[MODE]", help=f"{', '.join(MODES)}; nothing shows the mode.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Show or change the mode: who may start, and whether what runs goes on.

    In `minimal` only tasks of low risk go on, without `think` and `review`, to a draft that is marked unreviewed. In
    `read-only` nothing starts, and what runs is finished. `emergency-stop` kills what runs; it goes on later where it was.
    """
    if wanted and wanted not in MODES:
        raise UsageError(f"MODE: {wanted!r} is none of {', '.join(MODES)}")
    connected = client(data_dir)
    if wanted:
        state = connected.scheduler("PUT", "/v1/mode", json={"mode": wanted, "reason": reason})
    else:
        state = connected.scheduler("GET", "/v1/mode")
    show.as_json(state) if json else show.line(state["mode"])


@config.command("show")
def config_show(data_dir: DataDir = None, json: AsJson = False) -> None:
    """Show the settings in force."""
    found = client(data_dir).scheduler("GET", "/v1/config")
    show.as_json(found) if json else show.facts({name: found[name] for name in SETTINGS})


@config.command("set")
def config_set(
    setting: Annotated[
        str,
        typer.Argument(
            metavar="NAME=VALUE",
            help="max_concurrent=20: so many run at once. max_queued=5000: so many wait.",
        ),
    ],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Change a setting."""
    name, _, given = setting.partition("=")
    value = number(given)
    if name not in SETTINGS or value is None:
        known = " and ".join(f"{one}=NUMBER" for one in SETTINGS)
        raise UsageError(f"NAME=VALUE: {setting[:60]!r} is no setting; there are {known}")
    found = client(data_dir).scheduler("PUT", "/v1/config", json={name: value})
    show.as_json(found) if json else show.facts(found)
