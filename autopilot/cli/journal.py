"""`journal verify`, `journal export`: whether the record is what was sealed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from autopilot.cli import show
from autopilot.cli.failure import UsageError
from autopilot.cli.options import STDOUT, AsJson, DataDir
from autopilot.stack.config import StackConfig

if TYPE_CHECKING:
    from libs.journal.verification import Verdict

journal = typer.Typer(
    help="The record's seal: signed checkpoints.", no_args_is_help=True, rich_markup_mode=show.MARKUP
)


@journal.command("verify")
def journal_verify(
    file: Annotated[
        Path | None, typer.Option("--file", help="An exported file instead of the stack.")
    ] = None,
    key: Annotated[
        str,
        typer.Option(
            "--public-key", metavar="HEX", help="The key that must have signed; default the stack's own."
        ),
    ] = "",
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Check every event and every checkpoint, and name the first position that is not as it was sealed."""
    # Only here, because the driver of Postgres and OpenSSL take longer to load than most commands to run.
    from autopilot.cli import sealed

    given = sealed.given_key(key)
    if file is not None:
        verdict = asyncio.run(sealed.verify_file(file, given))
    else:
        verdict = asyncio.run(sealed.verify_stack(StackConfig.from_arguments(data_dir), given))
    if json:
        show.as_json(msgspec.to_builtins(verdict))
    else:
        _tell(verdict, assured=bool(given) or file is None)
    if not verdict.ok:
        raise typer.Exit(1)


@journal.command("export")
def journal_export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to (`-`: standard output); JSON lines, gzip.")
    ],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Write events, checkpoints and the public key into a file that `journal verify --file` checks anywhere."""
    from autopilot.cli import sealed

    if json and file == STDOUT:
        raise UsageError("--json: standard output is where the record goes")
    key, counts = asyncio.run(sealed.export_stack(StackConfig.from_arguments(data_dir), file))
    if json:
        show.as_json({"file": str(file.absolute()), "key": key, "rows": counts})
        return
    tell, where = (show.complain, "the record") if file == STDOUT else (show.line, show.path(file.absolute()))
    tell(f"wrote {where}: {counts.get('events', 0)} events")
    tell(f"public key {key}: give it to whoever verifies, by another way than the file")


def _tell(verdict: Verdict, *, assured: bool) -> None:
    unsealed = f"; {verdict.unsealed} behind it are not sealed yet" if verdict.unsealed else ""
    sealed = f"{verdict.checkpoints} checkpoints, sealed up to position {verdict.sealed_upto}{unsealed}"
    show.line(f"{verdict.events} events, {sealed}")
    if verdict.last_checkpoint:
        show.line(f"last checkpoint {verdict.last_checkpoint}")
        show.line(f"key {verdict.key}{'' if assured else ' (as the file itself says)'}")
    if verdict.ok:
        show.line("ok: every event and every checkpoint is as it was sealed")
        return
    rows = [("-" if one.position is None else one.position, one.kind, one.detail) for one in verdict.findings]
    show.table(("position", "what", "detail"), rows)
    if verdict.found > len(rows):
        show.line(f"… and {verdict.found - len(rows)} more")
    if verdict.first is not None:
        where = "" if verdict.first.position is None else f" at position {verdict.first.position}"
        show.line(f"BROKEN{where}: {verdict.first.kind}, {verdict.first.detail}")
