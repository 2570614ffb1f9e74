"""What `autopilot task` tells of an incident: what was found, where to read it, how to see it fail."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from autopilot.cli import show
from autopilot.cli.client import Client

#: What the script of an incident gave when it was run before filing.
_GAVE = {
    "as_recorded": "showed the failure as recorded",
    "does_not_show": "did not show the failure: it may come and go",
    "otherwise": "failed, but not as recorded: it may be non-deterministic",
    "not_tried": "could not be tried to its end",
}
#: Findings that are spelled out.
_SHOWN = 5


def tell(connected: Client, report: dict[str, Any] | None) -> None:
    """Print an incident's report; nothing for one of before there were any."""
    if not report:
        return
    for found in report["findings"][:_SHOWN]:
        show.line(f"  found      {found['code']}: {' '.join(found['detail'].split())}")
    if len(report["findings"]) > _SHOWN:
        show.line(f"  found      {len(report['findings']) - _SHOWN} more")
    gave = report["reproduction"]
    exit_code = gave.get("exit_code")
    how = f" (exit {exit_code}, {gave['duration_s']:g} s)" if exit_code is not None else ""
    why = f": {gave['detail']}" if gave["gave"] == "not_tried" and gave.get("detail") else ""
    show.line(f"  its script {_GAVE[gave['gave']]}{how}{why}")
    if report.get("branch"):
        show.line(f"  branch     {report['branch']} of {report['forge']}")
    elif report.get("unpublished"):
        show.line(f"  no branch  {report['unpublished']}")
    show.line(f"  reproduce  {command(connected.config.data_dir, report)}")


def command(data_dir: Path, report: dict[str, Any]) -> str:
    """Say how to see the failure: from a clean clone of the branch, or in the directory where there is none."""
    if report.get("branch"):
        name = f"incident-{report['incident_id']}"
        return f"git clone -q -b {report['branch']} {shlex.quote(report['forge'])} {name} && {name}/reproduce"
    return shlex.quote(show.path(data_dir / report["path"] / "reproduce"))
