"""`dlq list|show|redrive`: messages that were given up."""

from __future__ import annotations

import base64
import json as jsonlib
from collections import defaultdict
from typing import Annotated, Any
from urllib.parse import quote

import typer

from autopilot.cli import show
from autopilot.cli.client import Client
from autopilot.cli.failure import CliError, UsageError
from autopilot.cli.options import AsJson, DataDir, client
from autopilot.stack.config import SERVICES

dlq = typer.Typer(help="Messages that were given up.", no_args_is_help=True, rich_markup_mode=show.MARKUP)

#: Letters that one listing holds; a redrive goes on until there are no more.
PAGE = 500


@dlq.command("list")
def dlq_list(data_dir: DataDir = None, json: AsJson = False) -> None:
    """List dead letters, newest first."""
    found = client(data_dir).dashboard("GET", "/api/v1/dead-letters")["dead_letters"]
    if json:
        show.as_json(found)
        return
    rows = [
        (one["at"], one["id"], one["type"], f"{one['stream']} {one['version']}", one["reason"])
        for one in found
    ]
    show.table(("at", "letter", "type", "stream", "reason"), rows)


@dlq.command("show")
def dlq_show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="The letter, as `dlq list` names it.")],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Print a dead letter: why, which event, headers and payload as they came, and what to do."""
    found = client(data_dir).dashboard("GET", f"/api/v1/dead-letters/{quote(letter_id, safe='')}")
    if json:
        show.as_json(found)
        return
    letter = found["letter"]
    show.facts(
        {
            "letter": letter["id"],
            "reason": letter["reason"],
            "given up": f"{letter['at']}, after {letter['attempts']} deliveries",
            "consumer": letter["consumer"],
            "event": f"{letter['event_id']} {letter['type']}, version {letter['version']} of {letter['stream']}",
            "in the record": "yes" if found["recorded"] else "no",
            "handled up to": found["handled"],
            "subject": letter["subject"],
        }
    )
    show.line()
    for name, value in letter["headers"].items():
        show.line(f"{name}: {value}")
    show.line()
    show.line(_readable(letter))
    show.line()
    show.line(found["hint"])


@dlq.command("redrive")
def dlq_redrive(
    letter_id: Annotated[str, typer.Argument(metavar="[ID]", help="One letter.")] = "",
    consumer: Annotated[str, typer.Option(help="All letters of this consumer.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All letters there are.")] = False,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the letter.")] = "",
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Let the consumer handle what it gave up, and what waits behind it in the same stream, in order.

    Exit code 1 where something failed again: its letters stay.
    """
    if sum((bool(letter_id), bool(consumer), everything)) != 1:
        raise UsageError("name either one letter, --consumer X, or --all")
    connected = client(data_dir)
    letters = connected.dashboard("GET", "/api/v1/dead-letters", params={"limit": PAGE})["dead_letters"]
    chosen = [one for one in letters if everything or one["consumer"] == consumer or one["id"] == letter_id]
    if not chosen:
        what = f"no dead letter {letter_id}" if letter_id else "no dead letter"
        raise CliError(f"there is {what}{f' of {consumer}' if consumer else ''} that waits for anybody")
    wanted = {(one["consumer"], one["stream"]) for one in chosen}
    streams: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    # The other letters of the same streams are settled with these.
    for one in reversed(letters):
        if (one["consumer"], one["stream"]) in wanted:
            streams[(one["consumer"], one["stream"])].append({"id": one["id"], "version": one["version"]})
    results = [
        _redrive(connected, {"consumer": name, "stream": stream, "letters": of_stream, "reason": reason})
        for (name, stream), of_stream in streams.items()
    ]
    if json:
        show.as_json(results)
    else:
        rows = [
            (one["consumer"], one["stream"], one["handled"], one["upto"], len(one["settled"]), one["failure"])
            for one in results
        ]
        show.table(("consumer", "stream", "handled now", "up to version", "letters settled", "failed"), rows)
    if any(one["failure"] for one in results):
        raise typer.Exit(1)


def _redrive(connected: Client, wish: dict[str, Any]) -> dict[str, Any]:
    # The longest that fits: `stage-runner-run-stage` belongs to stage-runner.
    owners = [name for name in SERVICES if wish["consumer"].startswith(f"{name}-")]
    if not owners:
        return {**wish, "handled": 0, "upto": 0, "settled": [], "failure": "no service has this consumer"}
    result: dict[str, Any] = connected.service(max(owners, key=len), "POST", "/v1/redrive", json=wish)
    return result


def _readable(letter: dict[str, Any]) -> str:
    data = base64.b64decode(letter["payload"]) if letter["payload"] else letter["raw"].encode()
    try:
        return jsonlib.dumps(jsonlib.loads(data), indent=2, ensure_ascii=False)
    except ValueError:
        return str(letter["raw"])
